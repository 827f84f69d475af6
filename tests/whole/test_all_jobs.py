"""All jobs in one session, and what the run says of itself."""

from __future__ import annotations

import json
from pathlib import Path

from pyspark.sql import SparkSession
from pyspark.sql import functions as F
from typer.testing import CliRunner

from conftest import TEST_SETS
from offerlake.cli import app
from offerlake.pipeline import load_jobs
from whole.conftest import DAY, SETS, USERS, Demo, offerlake, options


def test_all_jobs_run_in_one_session(demo: Demo) -> None:
    ended = demo.lake.read("runs").where("event = 'finish'").select("job").collect()
    wanted = {*load_jobs(), "pipeline"} - {"clean_identities"}  # the shop has none
    assert sorted(row["job"] for row in ended) == sorted(wanted)
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


def test_a_run_may_be_told_where_the_truth_lies(demo: Demo, tmp_path: Path) -> None:
    shares = demo.lake.read("metrics").where("name LIKE 'oracle_share.%'")
    assert shares.count() == 7
    done = CliRunner().invoke(app, ["run", "--as-of", DAY, "--truth", str(tmp_path), "--only", "x", "--json"])
    assert json.loads(done.stdout)["error"]["message"] == "job 'x' does not exist", "the option is known"


def test_simulate_makes_a_shop_without_effects(spark: SparkSession, tmp_path: Path) -> None:
    places = ["--landing", str(tmp_path / "landing"), "--truth", str(tmp_path / "truth")]
    found = offerlake("simulate", *places, "--users", "40", "--effects", "0", *options(*SETS, *TEST_SETS))
    assert found["users"] == 40
    truth = spark.read.parquet(str(tmp_path / "truth" / "outcomes"))
    spread = truth.groupBy("user_id").agg((F.max("p_response") - F.min("p_response")).alias("d")).agg(F.max("d"))
    assert spread.collect()[0][0] == 0
