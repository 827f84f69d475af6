"""The test shop's known dirt is found to the row, and its bots with the stated precision and recall."""

from __future__ import annotations

from collections import Counter

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from offerlake.tables import Lake
from whole.conftest import Demo

FEEDS = ("clicks", "orders", "products", "users", "offers", "exposures", "redemptions")
SILVER = {"orders": "order_lines"}
TO_CODE = {
    "malformed": ("malformed_json", "malformed_csv"),
    "bad_time": ("unparsable time",),
    "bad_number": ("unparsable",),
    "unknown_offer": ("unknown",),
    "clock_skew": ("clock_skew",),
}


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
