"""Jobs come in the order of their tables, and a run that was cut short goes on where it was."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from datetime import date
from pathlib import Path

import pytest
from pyspark.sql import SparkSession

import offerlake
from offerlake import pipeline
from offerlake.config import Settings
from offerlake.errors import ConfigError, DataError, EnvironmentProblem, GateError
from offerlake.job import Job
from offerlake.lanes import Lanes, upstream
from offerlake.ledger import ASSIGN, PIPELINE, PUBLISH, Ledger, choose_run_id, jobs_dir, run_id_of
from offerlake.schemas import TABLES
from offerlake.tables import Lake

DAY = date(2025, 9, 3)
JOB = """
from offerlake.job import Job, Need

def run(ctx):
    {body}

JOB = Job(name={name!r}, reads={reads!r}, writes={writes!r}, run=run{more})
"""


def _write(folder: Path, name: str, *, reads: tuple[str, ...], writes: tuple[str, ...], **more: str) -> None:
    text = JOB.format(name=name, reads=reads, writes=writes, body=more.get("body", "pass"), more=more.get("more", ""))
    (folder / f"{name}.py").write_text(text, encoding="utf-8")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Three jobs whose names are in the opposite order of their work; `b` reads what it writes."""
    jobs = tmp_path / "jobs"
    jobs.mkdir()
    _write(jobs, "c", reads=("raw_users",), writes=("users", "quarantine"))
    _write(jobs, "b", reads=("users", "user_index", "quarantine"), writes=("user_index",))
    _write(jobs, "a", reads=("user_index", "model:als"), writes=("publish",))
    (jobs / "_helper.py").write_text("raise SystemExit('not a job')", encoding="utf-8")
    return jobs


def test_a_job_comes_after_those_whose_tables_it_reads(folder: Path) -> None:
    assert list(pipeline.load_jobs(folder)) == ["c", "b", "a"]


def test_jobs_that_wait_for_each_other_are_refused(folder: Path) -> None:
    _write(folder, "d", reads=("publish",), writes=("raw_users",))
    with pytest.raises(ConfigError, match="they wait for each other") as caught:
        pipeline.load_jobs(folder)
    assert caught.value.exit_code == 2


def test_parts_are_chosen_by_name(folder: Path) -> None:
    jobs = pipeline.load_jobs(folder)

    def names(**part: object) -> list[str]:
        return [job.name for job in pipeline.select(jobs, **part)]  # type: ignore[arg-type]

    assert names(first="b") == ["b", "a"]
    assert names(last="b") == ["c", "b"]
    assert names(first="b", last="b") == ["b"]
    assert names(only=["a", "c"]) == ["c", "a"]
    with pytest.raises(ConfigError, match="job 'x' does not exist") as caught:
        names(only=["x"])
    assert caught.value.fix == "There are c, b, a."
    with pytest.raises(ConfigError, match="--from a --to c: c comes before a"):
        names(first="a", last="c")


def test_what_a_run_would_stop_at_after_hours_is_told_at_once(
    spark: SparkSession, settings: Settings, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    need = "Need('no_such_package', fix='Install it.')"
    _write(folder, "a", reads=("user_index",), writes=("publish",), more=f", needs=lambda _: ({need},)")
    _write(folder, "off", reads=(), writes=("report",), more=", when=lambda settings: False")
    monkeypatch.setattr(pipeline, "jobs_dir", lambda: folder)
    mine = settings.model_copy(update={"run": settings.run.model_copy(update={"lake": str(tmp_path / "lake")})})
    with pytest.raises(EnvironmentProblem, match="job a: the package no_such_package is not installed"):
        pipeline.run(spark, mine, DAY)
    jobs = pipeline.load_jobs(folder)
    with pytest.raises(ConfigError, match="the settings leave out off"):
        pipeline.run(spark, mine, DAY, part=[jobs["off"]])
    assert not (tmp_path / "lake" / "silver").exists()


def test_the_shipped_jobs_are_a_graph() -> None:
    jobs = pipeline.load_jobs()
    assert next(iter(jobs)) == "ingest"
    for name, job in jobs.items():
        assert job.writes, name


def test_what_reads_what_a_gate_reads_waits_for_it_but_for_what_the_gate_waits_for(folder: Path) -> None:
    _write(folder, "z", reads=("users", "quarantine"), writes=("expectations",), more=", gate=True")
    _write(folder, "d", reads=("raw_users", "users"), writes=("quarantine",))
    before = upstream(pipeline.load_jobs(folder))
    assert before == {"c": set(), "d": {"c"}, "z": {"c", "d"}, "b": {"c", "d", "z"}, "a": {"b"}}
    assert list(pipeline.load_jobs(folder)) == ["c", "d", "z", "b", "a"]


def test_no_shipped_job_builds_on_silver_that_has_not_been_checked() -> None:
    jobs = pipeline.load_jobs()
    before = upstream(jobs)
    silver = {name for name, contract in TABLES.items() if contract.layer == "silver"}
    building = {name for name, job in jobs.items() if silver & {*job.reads}} - {"check_quality"}
    cleaning = {name for name in building if name.startswith("clean_")}
    assert building - cleaning > {"build_activity", "build_products", "score_offers", "assign_offers"}
    assert all("check_quality" in before[name] for name in building - cleaning)
    assert before["check_quality"] == {name for name in jobs if name == "ingest" or name.startswith("clean_")}


def test_nothing_behind_a_gate_that_refuses_is_begun() -> None:
    gate = Job(name="gate", reads=("in's",), writes=("noted",), run=lambda _: None, gate=True)
    jobs = {job.name: job for job in (_job("in"), gate, _job("build", "in's"), _job("train", "build's"), _job("else"))}
    did: list[str] = []

    def work(job: Job) -> bool:
        did.append(job.name)
        if job.gate:
            raise GateError("clicks: got none", fix="Land them.")
        return True

    with pytest.raises(GateError, match="clicks: got none"):
        _lanes(jobs, work, lanes=2)
    assert {"in", "gate"} <= {*did} <= {"in", "gate", "else"}


def test_the_truth_of_a_test_shop_is_read_by_evaluate_alone_and_after_the_assignment() -> None:
    reading = {path.stem for path in jobs_dir().glob("*.py") if ".truth" in path.read_text(encoding="utf-8")}
    assert reading == {"evaluate"}
    package = Path(offerlake.__file__).parent
    named = {
        path.relative_to(package).parts[0] for path in package.rglob("*.py") if ".truth" in path.read_text("utf-8")
    }
    assert named <= {"cli", "config.py", "demo.py", "evaluate", "job.py", "simulate"}, "no step that learns or decides"
    before = upstream(pipeline.load_jobs())
    assert "assign_offers" in before["evaluate"]


def test_a_run_that_was_killed_goes_on_after_the_last_finished_job(
    spark: SparkSession, settings: Settings, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A kill leaves no `fail` row: BaseException is what nobody catches."""
    log = tmp_path / "log"
    note = f"with open({str(log)!r}, 'a') as log: log.write(ctx.job.name + str(ctx.attempt) + ' ')"
    kill = "if ctx.attempt == 1: raise SystemExit('killed')"
    _write(folder, "c", reads=("raw_users",), writes=("users", "quarantine"), body=note)
    _write(folder, "b", reads=("users",), writes=("user_index",), body=f"{note}\n    {kill}")
    _write(folder, "a", reads=("user_index",), writes=("publish",), body=note)
    _write(folder, "off", reads=(), writes=("report",), body=note, more=", when=lambda settings: False")
    monkeypatch.setattr(pipeline, "jobs_dir", lambda: folder)
    mine = settings.model_copy(update={"run": settings.run.model_copy(update={"lake": str(tmp_path / "lake")})})

    with pytest.raises(SystemExit):
        pipeline.run(spark, mine, DAY)
    assert log.read_text() == "c1 b1 "

    told: list[tuple[str, str, int, int]] = []
    run_id = pipeline.run(spark, mine, DAY, tell=lambda s: told.append((s.job, s.state, s.number, s.of)))
    assert log.read_text() == "c1 b1 b2 a1 "
    assert told == [
        ("c", "skipped", 1, 3),
        ("b", "start", 2, 3),
        ("b", "done", 2, 3),
        ("a", "start", 3, 3),
        ("a", "done", 3, 3),
    ]

    # A whole run has ended: the next one does everything again.
    assert pipeline.run(spark, mine, DAY) == run_id
    assert log.read_text() == "c1 b1 b2 a1 c2 b3 a2 "
    events = Lake(spark, mine.run.lake).read("runs").where(f"job = '{PIPELINE}'").orderBy("time").collect()
    assert [(row["event"], row["attempt"]) for row in events] == [
        ("start", 1),
        ("start", 2),
        ("finish", 2),
        ("start", 3),
        ("finish", 3),
    ]


def _land(land: Path, body: str = "") -> str:
    """A job `c` that looks into a folder and writes `product_index` where it finds what it has not seen."""
    return f"""import pathlib
    from offerlake.schemas import table
    found = sorted(each.name for each in pathlib.Path({str(land)!r}).iterdir())
    lake = ctx.lake
    seen = lake.read('product_index').count() if lake.exists('product_index') else 0
    if len(found) > seen:
        rows = [(name, number) for number, name in enumerate(found)]
        ctx.write('product_index', ctx.spark.createDataFrame(rows[seen:], table('product_index').struct))
    {body}"""


def test_what_an_earlier_attempt_or_a_part_brought_in_is_not_left_out(
    spark: SparkSession, settings: Settings, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """When b had finished, c alone brings something: b's work is stale, although c finds nothing new any more."""
    log, land = tmp_path / "log", tmp_path / "land"
    land.mkdir()
    note = f"with open({str(log)!r}, 'a') as log: log.write(ctx.job.name + str(ctx.attempt) + ' ')"
    kill = "if ctx.attempt < 3: raise SystemExit('killed')"
    _write(folder, "c", reads=(), writes=("product_index",), body=_land(land, note), more=", looks_outside=True")
    _write(folder, "b", reads=("product_index",), writes=("user_index",), body=note)
    _write(folder, "a", reads=("user_index",), writes=("publish",), body=f"{note}\n    {kill}")
    monkeypatch.setattr(pipeline, "jobs_dir", lambda: folder)
    mine = settings.model_copy(update={"run": settings.run.model_copy(update={"lake": str(tmp_path / "lake")})})
    (land / "1").touch()

    with pytest.raises(SystemExit):
        pipeline.run(spark, mine, DAY)
    assert log.read_text() == "c1 b1 a1 "
    with pytest.raises(SystemExit):
        pipeline.run(spark, mine, DAY)
    assert log.read_text() == "c1 b1 a1 c2 a2 ", "c found nothing, so b is left out"
    (land / "2").touch()
    pipeline.run(spark, mine, DAY, part=[pipeline.load_jobs()["c"]])
    pipeline.run(spark, mine, DAY)
    assert log.read_text() == "c1 b1 a1 c2 a2 c3 c4 b2 a3 "


def test_a_job_killed_while_it_ran_again_and_what_follows_it_are_not_left_out(
    spark: SparkSession, settings: Settings, tmp_path: Path
) -> None:
    mine = settings.model_copy(update={"run": settings.run.model_copy(update={"lake": str(tmp_path / "lake")})})
    ledger = Ledger(Lake(spark, mine.run.lake), mine, run_id="r", as_of=DAY)
    graph = {"b": {"c"}, "a": {"b"}, "other": set[str]()}

    def event(job: str, event: str, **fields: object) -> set[str]:
        ledger.record(job, 1, event, **fields)
        return ledger.finished(graph, outside={"c"})

    for job in ("c", "b", "a", "other"):
        event(job, "start")
        done = event(job, "finish", outputs={"t": 1})
    assert done == {"c", "b", "a", "other"}
    event("c", "start")
    assert event("c", "finish") == {"c", "b", "a", "other"}, "it has changed nothing"
    assert event("b", "start") == {"c", "a", "other"}, "killed: a has to wait for b, which changes something"
    assert event("b", "finish", outputs={"t": 2}) == {"c", "b", "other"}, "a has read what b wrote before"
    Ledger(ledger.lake, mine, run_id="of another day", as_of=DAY).record("b", 1, "finish")
    assert ledger.finished(graph, outside={"c"}) == {"c", "b", "other"}
    assert event(PIPELINE, "finish") == set()


def test_a_day_is_forced_once_however_often_that_is_cut_short(
    spark: SparkSession, settings: Settings, tmp_path: Path
) -> None:
    mine = settings.model_copy(update={"run": settings.run.model_copy(update={"lake": str(tmp_path / "lake")})})
    lake = Lake(spark, mine.run.lake)
    first, second, third = (run_id_of(mine, DAY, salt=k) for k in range(3))

    def chosen(*, assigned: bool = False) -> str:
        return choose_run_id(lake, mine, DAY, force=True, assigned=assigned)

    def event(run_id: str, job: str, event: str) -> None:
        Ledger(lake, mine, run_id=run_id, as_of=DAY).record(job, 1, event)

    assert chosen() == chosen(assigned=True) == first
    for job in (ASSIGN, PUBLISH):
        event(first, job, "finish")
    assert chosen() == second
    assert chosen(assigned=True) == first, "the second has not been assigned"
    event(second, PIPELINE, "start")
    for job in (ASSIGN, PUBLISH):
        event(second, job, "finish")
    assert chosen() == chosen(assigned=True) == second, "cut short behind it: goes on"
    event(second, PIPELINE, "finish")
    assert (chosen(), chosen(assigned=True)) == (third, second)
    assert choose_run_id(lake, mine, DAY, force=False) == first


def _lanes(
    jobs: dict[str, Job], work: Callable[[Job], bool], *, lanes: int, done: set[str] | None = None
) -> list[tuple[str, str, int]]:
    told: list[tuple[str, str, int]] = []
    Lanes(jobs, done or set(), work=work, tell=lambda s: told.append((s.job, s.state, s.number))).run(lanes)
    return told


def _job(name: str, *reads: str, **more: bool) -> Job:
    return Job(name=name, reads=reads, writes=(f"{name}'s",), run=lambda _: None, **more)  # type: ignore[arg-type]


def test_jobs_that_need_not_wait_for_each_other_run_at_once_and_the_third_after_both() -> None:
    both, order = threading.Barrier(2, timeout=30), []

    def work(job: Job) -> bool:
        if job.name in "ab":
            both.wait()
        order.append((job.name, threading.current_thread() is threading.main_thread()))
        return True

    jobs = {job.name: job for job in (_job("b"), _job("a", main_thread=True), _job("c", "a's", "b's"))}
    told = _lanes(jobs, work, lanes=2)
    assert dict(order)["a"], "what asks for the main thread gets it"
    assert order[2][0] == "c"
    assert [number for _, state, number in told if state == "done"] == [1, 2, 3]


def test_of_jobs_that_could_run_that_with_the_longest_chain_behind_it_does() -> None:
    begun: list[str] = []

    def work(job: Job) -> bool:
        begun.append(job.name)
        return True

    jobs = [_job("a"), _job("b"), _job("c"), _job("d", "c's"), _job("e", "b's"), _job("f", "d's", "a's")]
    _lanes({job.name: job for job in jobs}, work, lanes=1)
    assert begun == ["c", "a", "b", "d", "e", "f"], "the first where chains are as long"


def test_an_error_beside_is_raised_when_the_others_have_ended_and_nothing_new_begins() -> None:
    both, ended = threading.Barrier(2, timeout=30), []

    def work(job: Job) -> bool:
        both.wait()
        if job.name == "bad":
            raise DataError("bad: got it", fix="Mend it.")
        time.sleep(0.5)  # the other one's error is known by then
        ended.append(job.name)
        return True

    jobs = {job.name: job for job in (_job("bad"), _job("good"), _job("next", "bad's"), _job("last", "good's"))}
    with pytest.raises(DataError, match="bad: got it"):
        _lanes(jobs, work, lanes=2)
    assert ended == ["good"]


@pytest.mark.parametrize(
    ("done", "arrived", "ran"),
    [
        (set(), False, ["in", "clean", "train", "other"]),
        ({"in", "clean"}, False, ["in", "train", "other"]),
        ({"in", "clean", "other"}, True, ["in", "clean", "train"]),
        ({"train"}, False, ["in", "clean", "train", "other"]),  # a part that ran alone does not count for a whole run
    ],
)
def test_what_had_finished_is_left_out_as_long_as_nothing_before_it_changes(
    done: set[str], arrived: bool, ran: list[str]
) -> None:
    jobs = {
        job.name: job
        for job in (_job("in", looks_outside=True), _job("clean", "in's"), _job("train", "clean's"), _job("other"))
    }
    did: list[str] = []

    def work(job: Job) -> bool:
        did.append(job.name)
        return arrived if job.name == "in" else False

    told = _lanes(jobs, work, lanes=1, done=done)
    assert did == ran
    assert {name for name, state, _ in told if state == "skipped"} == jobs.keys() - set(ran)
