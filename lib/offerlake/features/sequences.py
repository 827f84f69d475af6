"""`sequences` and `example_sequences`: the last things that users did, as arrays for models that read in order."""

from __future__ import annotations

from datetime import date

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from offerlake.features.clocks import counts_from

_ARRAYS = ("times", "event_types", "product_ids")


def event_log(clicks: DataFrame, order_lines: DataFrame) -> DataFrame:
    """Everything that users did, one row each: clicks of known users and bought order lines (`purchase`).

    A click `purchase` tells of an order line again and is left out.

    Returns:
        user_id, time, event_type, product_id (null: none), since (see `clocks.counts_from`).
    """
    seen = clicks.where(F.col("user_id").isNotNull() & (F.col("event_type") != "purchase")).select(
        "user_id",
        F.col("event_time").alias("time"),
        "event_type",
        "product_id",
        counts_from(F.col("event_time"), F.col("arrived_at")).alias("since"),
    )
    bought = order_lines.where(F.col("quantity") > 0).select(
        "user_id",
        F.col("order_time").alias("time"),
        F.lit("purchase").alias("event_type"),
        "product_id",
        counts_from(F.col("order_time"), F.col("arrived_at")).alias("since"),
    )
    return seen.unionByName(bought)


def carried_on(before: DataFrame, log: DataFrame, *, day: date) -> DataFrame:
    """The log of later days, as far as it matters to sequences of `length` events: far fewer rows than all of it.

    What was not among the last of a user's events as of `day` is not among them later either, as more only comes on
    top: those of that day, and what has counted since, give the same sequences as everything does.

    Args:
        before: `sequences` as of `day`, with as many events at most as are wanted.
        log: What `event_log` gives.
        day: The day of `before`.
    """
    kept = before.select("user_id", F.explode(F.arrays_zip(*_ARRAYS)).alias("event")).select(
        "user_id",
        F.col("event.times").alias("time"),
        F.col("event.event_types").alias("event_type"),
        F.col("event.product_ids").alias("product_id"),
        F.lit(day).alias("since"),
    )
    return kept.unionByName(log.where(F.col("since") > F.lit(day)))


def sequences(wanted: DataFrame, log: DataFrame, *, length: int) -> DataFrame:
    """The last events that count as of each wanted day, oldest first; events of one moment in the order of their names.

    Args:
        wanted: as_of, user_id, and columns of their own, such as an exposure's id.
        log: What `event_log` or `carried_on` gives.
        length: Events at most.

    Returns:
        wanted with `times`, `event_types`, `product_ids` (arrays of the same length, 1 to `length`) and `most` (int:
        `length`); rows without an event are left out.
    """
    event = F.struct("time", "event_type", "product_id", "since")
    histories = log.groupBy("user_id").agg(F.sort_array(F.collect_list(event)).alias("_events"))
    # What counts happened before the day. Nearly always all of the last events before it do; only elsewhere are a
    # user's events looked through, as Spark interprets a filter, event by event.
    midnight = F.col("as_of").cast("timestamp")
    before = F.array_position(F.sort_array(F.array_append("_events.time", midnight)), midnight).cast("int") - 1
    recent = F.slice("_events", F.greatest(before - length + 1, F.lit(1)), F.least(before, F.lit(length)))
    counted = F.filter("_events", lambda each: each["since"] <= F.col("as_of"))
    all_count = F.coalesce(F.array_max(F.col("_recent.since")) <= F.col("as_of"), F.lit(True))
    known = F.when(all_count, F.col("_recent")).otherwise(counted)
    joined = wanted.join(histories, on="user_id", how="inner").withColumn("_recent", recent)
    found = joined.withColumn("_known", known).where(F.size("_known") > 0)
    last = F.slice("_known", F.greatest(F.size("_known") - length + 1, F.lit(1)), length)
    return found.withColumn("_last", last).select(
        *wanted.columns,
        F.col("_last.time").alias("times"),
        F.col("_last.event_type").alias("event_types"),
        F.col("_last.product_id").alias("product_ids"),
        F.lit(length).alias("most"),
    )
