"""All jobs in one session: what the run says of itself, and that the shop's known dirt is found to the row.

One file, since all tests share one finished demo and `make test` gives whole files to its two processes.
"""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F
from typer.testing import CliRunner

from conftest import TEST_SETS
from offerlake.cli import app
from offerlake.pipeline import load_jobs
from offerlake.tables import Lake
from whole.conftest import DAY, SETS, USERS, Demo, offerlake, options

FEEDS = ("clicks", "orders", "products", "users", "offers", "exposures", "redemptions")
SILVER = {"orders": "order_lines"}
TO_CODE = {
    "malformed": ("malformed_json", "malformed_csv"),
    "bad_time": ("unparsable time",),
    "bad_number": ("unparsable",),
    "unknown_offer": ("unknown",),
    "clock_skew": ("clock_skew",),
}


def test_all_jobs_run_in_one_session(demo: Demo) -> None:
    ended = demo.lake.read("runs").where("event = 'finish'").select("job").collect()
    not_asked = {"tune_als", "train_reranker", "recommend_sessions"}
    wanted = {*load_jobs(), "pipeline"} - not_asked - {"clean_identities"}  # the shop has no identities
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


def codes(lake: Lake, feed: str) -> Counter[str]:
    """Records by the code of their first reason; times that are none apart."""
    reason = F.get("reasons", F.lit(0))
    time = F.when(reason.rlike("^unparsable:[a-z]+_(time|at)="), F.lit(" time")).otherwise(F.lit(""))
    first = F.concat(F.split_part(reason, F.lit(":"), F.lit(1)), time)
    rows = lake.read("quarantine").where(F.col("feed") == feed).select(first.alias("code")).collect()
    return Counter(row["code"] for row in rows)


def test_every_record_is_accounted_for(demo: Demo) -> None:
    lake = demo.lake
    ended = {row["job"]: row for row in lake.read("runs").where("event = 'finish'").collect()}
    for row in (row for name, row in ended.items() if name == "ingest" or name.startswith("clean_")):
        assert row["rows_in"] == row["rows_out"] + (row["duplicates"] or 0) + row["quarantined"], row["job"]
    for feed in FEEDS:
        row = ended[f"clean_{feed}"]
        assert row["rows_in"] == lake.read(f"raw_{feed}").count()
        assert row["rows_out"] == lake.read(SILVER.get(feed, feed)).count() > 0
        refused = lake.read("quarantine").where((F.col("feed") == feed) & (F.col("job") == f"clean_{feed}"))
        assert row["quarantined"] == refused.count()


def test_dirt_is_found_to_the_row(spark: SparkSession, demo: Demo) -> None:
    lake, truth = demo.lake, demo.root / "lake-truth"
    ended = {row["job"]: row for row in lake.read("runs").where("event = 'finish'").collect()}
    dirt = spark.read.parquet(f"{truth}/dirt").groupBy("feed", "kind").agg(F.sum("count")).collect()
    known = {(row[0], row[1]): row[2] for row in dirt}
    for feed in FEEDS:
        wanted: Counter[str] = Counter()
        for kind, names in TO_CODE.items():
            wanted["|".join(names)] += known.get((feed, kind), 0)
        found = codes(lake, feed)
        for names, count in wanted.items():
            assert sum(found[name] for name in names.split("|")) == count, (feed, names)
        assert ended[f"clean_{feed}"]["duplicates"] == known.get((feed, "duplicate"), 0), feed
    numbers = {row["name"]: row["value"] for row in lake.read("metrics").collect()}
    assert numbers["clean.clicks.unknown_users"] == known["clicks", "unknown_user"] > 0
    assert numbers["clean.clicks.unknown_products"] == known["clicks", "unknown_product"] > 0
    assert numbers["clean.orders.unknown_products"] == known.get(("orders", "unknown_product"), 0)
    # A spoilt copy of a return says that somebody unknown gave back what he never bought: refused for that.
    returned = numbers.get("clean.orders.quarantined.return_without_purchase", 0)
    assert numbers["clean.orders.unknown_users"] + returned == known.get(("orders", "unknown_user"), 0)


def test_bots_are_found(spark: SparkSession, demo: Demo) -> None:
    lake, truth = demo.lake, demo.root / "lake-truth"
    bots = spark.read.parquet(f"{truth}/bots").select(F.coalesce("user_id", "anonymous_id").alias("visitor"))
    names = {row["visitor"] for row in bots.collect()}
    refused = lake.read("quarantine").where("feed = 'clicks' AND reasons[0] LIKE 'bot:%'")
    found = visitors(
        refused.select(F.from_json("record", "user_id string, anonymous_id string").alias("r")).select("r.*")
    )
    through = visitors(lake.read("clicks").select("user_id", "anonymous_id"))
    hits, false_alarms = sum(found[name] for name in names), sum(found.values()) - sum(found[name] for name in names)
    missed = sum(through[name] for name in names)
    assert hits > 1000
    assert hits / (hits + false_alarms) >= 0.999  # precision, in events
    assert hits / (hits + missed) >= 0.999  # recall


def visitors(frame: DataFrame) -> Counter[str]:
    rows = frame.groupBy(F.coalesce("user_id", "anonymous_id").alias("visitor")).count().collect()
    return Counter({row["visitor"]: row["count"] for row in rows})
