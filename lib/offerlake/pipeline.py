"""The jobs as a graph by the tables they read and write; a run of them, and how it resumes."""

from __future__ import annotations

import importlib.util
import sys
import time
from collections.abc import Callable, Sequence
from datetime import date
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

from pyspark.sql import SparkSession

from offerlake.config import Settings
from offerlake.errors import ConfigError
from offerlake.job import Job, execute
from offerlake.lanes import Lanes, Progress, upstream
from offerlake.ledger import PIPELINE, Ledger, choose_run_id, jobs_dir
from offerlake.tables import Lake


def load_jobs(folder: Path | None = None) -> dict[str, Job]:
    """Loads every `JOB` in the folder `jobs`, in an order in which each comes after those whose output it reads."""
    found: dict[str, Job] = {}
    for path in sorted((folder or jobs_dir()).glob("*.py")):
        if path.name.startswith("_"):
            continue
        module_name = f"offerlake_jobs.{path.stem}"
        spec = importlib.util.spec_from_file_location(module_name, path)
        assert spec is not None, path
        assert spec.loader is not None, path
        module = importlib.util.module_from_spec(spec)
        sys.modules[module_name] = module
        spec.loader.exec_module(module)
        found[module.JOB.name] = module.JOB
    return {name: found[name] for name in _order(found)}


def _order(jobs: dict[str, Job]) -> list[str]:
    graph = upstream(jobs)
    sorter = TopologicalSorter({name: sorted(graph[name]) for name in sorted(graph)})
    try:
        return list(sorter.static_order())
    except CycleError as error:
        raise ConfigError(f"jobs: they wait for each other: {error.args[1]}", fix="Mend their reads.") from None


def select(
    jobs: dict[str, Job], *, first: str | None = None, last: str | None = None, only: Sequence[str] = ()
) -> list[Job]:
    """The part of the pipeline that `--from`, `--to` and `--only` name, in order.

    Raises:
        ConfigError: A name is not a job's.
    """
    names = list(jobs)
    for name in (*([first] if first else []), *([last] if last else []), *only):
        if name not in jobs:
            raise ConfigError(f"job {name!r} does not exist", fix=f"There are {', '.join(names)}.")
    if only:
        return [jobs[name] for name in names if name in only]
    begin = names.index(first) if first else 0
    end = names.index(last) + 1 if last else len(names)
    if begin >= end:
        raise ConfigError(f"--from {first} --to {last}: {last} comes before {first}", fix="Change them round.")
    return [jobs[name] for name in names[begin:end]]


def _check(todo: dict[str, Job], part: Sequence[Job] | None, settings: Settings) -> None:
    """Finds what would stop a run after hours before it begins."""
    if not todo:
        names = ", ".join(job.name for job in part or ())
        raise ConfigError(f"jobs: the settings leave out {names}", fix="See their sections in conf/base.yaml.")
    for job in todo.values():
        job.check_packages(settings)


def run(
    spark: SparkSession,
    settings: Settings,
    as_of: date,
    *,
    part: Sequence[Job] | None = None,
    force: bool = False,
    tell: Callable[[Progress], None] = lambda _: None,
) -> str:
    """Runs the pipeline, or a part of it, `run.parallel` jobs at a time, and returns the run_id.

    A whole run that was cut short goes on where it was: a job that had finished is not run again unless one whose
    output it reads is, and changes something. A part always runs.
    """
    lake = Lake(spark, settings.run.lake)
    run_id = choose_run_id(lake, settings, as_of, force=force)
    ledger = Ledger(lake, settings, run_id=run_id, as_of=as_of)
    whole = part is None
    todo = {job.name: job for job in (load_jobs().values() if part is None else part) if job.when(settings)}
    _check(todo, part, settings)
    outside = {job.name for job in todo.values() if job.looks_outside}
    done = ledger.finished(upstream(todo), outside=outside) if whole else set()
    attempt = ledger.attempt(PIPELINE) if whole else 0
    if whole:
        ledger.record(PIPELINE, attempt, "start")
    begun = time.monotonic()

    def work(job: Job) -> bool:
        context = execute(job, spark=spark, settings=settings, as_of=as_of, run_id=run_id, force=force, ledger=ledger)
        return bool(context.outputs)

    try:
        Lanes(todo, done, work=work, tell=tell).run(settings.run.parallel)
    except (KeyboardInterrupt, SystemExit):
        spark.sparkContext.cancelAllJobs()
        raise
    if whole:
        ledger.record(PIPELINE, attempt, "finish", seconds=time.monotonic() - begun)
    return run_id
