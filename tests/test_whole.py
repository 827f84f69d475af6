"""The whole pipeline on a small test shop: in one session, killed and gone on with, and what it says of itself."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F
from typer.testing import CliRunner

from conftest import TEST_SETS
from offerlake.cli import app
from offerlake.pipeline import load_jobs
from offerlake.tables import Lake

USERS, DAY = 300, "2025-09-04"
SMALL = (
    "simulate.products=100",
    "deep.processes=1",
    "deep.epochs=1",
    "response.trees=2",
    "evaluate.bootstrap=20",
    "run.parallel=2",
    *TEST_SETS,
)


def _sets(*more: str) -> list[str]:
    return [word for setting in (*SMALL, *more) for word in ("--set", setting)]


def _offerlake(*arguments: str) -> dict[str, Any]:
    done = CliRunner().invoke(app, [*arguments, "--json"])
    assert done.exit_code == 0, done.output
    return dict(json.loads(done.stdout))


@dataclass(frozen=True)
class Demo:
    """A finished demo: its folder, what `--json` printed, and its lake."""

    root: Path
    answer: dict[str, Any]
    lake: Lake


@pytest.fixture(scope="module")
def demo(spark: SparkSession, tmp_path_factory: pytest.TempPathFactory) -> Demo:
    root = tmp_path_factory.mktemp("whole")
    answer = _offerlake("demo", "--users", str(USERS), "--lake", str(root / "lake"), *_sets())
    return Demo(root, answer, Lake(spark, str(root / "lake")))


def test_all_jobs_run_in_one_session(demo: Demo) -> None:
    ended = demo.lake.read("runs").where("event = 'finish'").select("job").collect()
    assert sorted(row["job"] for row in ended) == sorted([*load_jobs(), "pipeline"])
    assert Path(demo.answer["report"]).read_text(encoding="utf-8").lower().startswith("<!doctype html>")
    assert sorted(name for name in demo.answer["oracle_share"] if not name.endswith(("_low", "_high"))) == [
        "arm_average", "best_single", "ceiling", "model", "old_rule", "random", "response_ranked",
    ]  # fmt: skip
    assert demo.answer["tables"]["user_offers"] == demo.lake.read("users").select("user_id").distinct().count() >= USERS
    assert {"response.auc", "deep.auc", "recommend.ndcg@10", "offers.value_dr", "offers.mde"} <= set(
        demo.answer["metrics"]
    )


def test_every_user_has_one_row_within_the_budget(demo: Demo) -> None:
    rows = demo.lake.read("user_offers")
    users = demo.lake.read("users").select("user_id").distinct()
    assert rows.count() == users.count() == rows.join(users, on="user_id", how="left_semi").count()
    spent, unlikely = rows.agg(F.sum("expected_cost"), F.min("propensity")).collect()[0]
    assert 0 < spent <= demo.answer["metrics"]["offers.budget"] * (1 + 1e-9)
    assert unlikely > 0
    held = rows.where("arm = 'holdout'")
    assert held.count() > 0
    assert held.where("offer_id IS NOT NULL").count() == 0


def test_no_record_is_lost(demo: Demo) -> None:
    for row in demo.lake.read("runs").where("event = 'finish' AND rows_in IS NOT NULL").collect():
        if row["job"] == "ingest" or row["job"].startswith("clean_"):
            assert row["rows_in"] == row["rows_out"] + (row["duplicates"] or 0) + (row["quarantined"] or 0), row["job"]


@pytest.mark.processes
def test_killed_in_the_middle_and_run_again_it_is_the_same_row_for_row(
    demo: Demo, spark: SparkSession, tmp_path: Path
) -> None:
    """Against the demo's lake, which was never cut short; another lake, so that nothing can be taken from there."""
    lake = tmp_path / "lake"
    budget = demo.answer["metrics"]["offers.budget"]
    options = ["--as-of", DAY, "--lake", str(lake), "--landing", str(demo.root / "lake-landing"), "--config", "demo"]
    options += _sets(f"simulate.users={USERS}", f"decide.budget={budget}", f"run.publish={tmp_path / 'published'}")

    process = subprocess.Popen(
        [sys.executable, "-m", "offerlake", "run", *options],
        stderr=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        text=True,
        start_new_session=True,
        cwd=tmp_path,
    )
    assert process.stderr is not None
    seen = next((line for line in process.stderr if " clean_clicks " in line), None)
    os.killpg(process.pid, signal.SIGKILL)  # Java and Python workers too, whatever they are doing
    process.wait()
    process.stderr.close()
    assert seen is not None
    assert not Lake(spark, str(lake)).exists("user_offers")

    told = _offerlake("run", *options)

    found = Lake(spark, str(lake))
    attempts = {row["job"]: row["n"] for row in _counted(found.read("runs").where("event = 'finish'"))}
    assert attempts["clean_users"] == attempts["clean_clicks"] == 1, "what had finished is not done again"
    assert told["run_id"] == demo.lake.read("user_offers").first()["run_id"]  # type: ignore[index]
    assert _rows(found.read("user_offers")) == _rows(demo.lake.read("user_offers"))


def _counted(runs: DataFrame) -> list[Any]:
    return runs.groupBy("job").agg(F.count(F.lit(1)).alias("n")).collect()


def _rows(frame: DataFrame) -> list[str]:
    return sorted(str(row) for row in frame.collect())


def test_a_run_may_be_told_where_the_truth_lies(demo: Demo, tmp_path: Path) -> None:
    shares = demo.lake.read("metrics").where("name LIKE 'oracle_share.%'")
    assert shares.count() == 7
    done = CliRunner().invoke(app, ["run", "--as-of", DAY, "--truth", str(tmp_path), "--only", "x", "--json"])
    assert json.loads(done.stdout)["error"]["message"] == "job 'x' does not exist", "the option is known"


def test_simulate_makes_a_shop_without_effects(spark: SparkSession, tmp_path: Path) -> None:
    places = ["--landing", str(tmp_path / "landing"), "--truth", str(tmp_path / "truth")]
    found = _offerlake("simulate", *places, "--users", "40", "--effects", "0", *_sets())
    assert found["users"] == 40
    truth = spark.read.parquet(str(tmp_path / "truth" / "outcomes"))
    spread = truth.groupBy("user_id").agg((F.max("p_response") - F.min("p_response")).alias("d")).agg(F.max("d"))
    assert spread.collect()[0][0] == 0
