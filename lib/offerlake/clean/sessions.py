"""Sessions of visitors, and whose they are."""

from __future__ import annotations

from collections.abc import Collection

from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F

from offerlake.windows import MICROS_A_DAY


def with_sessions(
    events: DataFrame,
    *,
    visitor: Column,
    gap_minutes: int,
    marks: Column,
    breaks: Collection[str] = (),
    parts: int = 1,
) -> DataFrame:
    """Cuts each visitor's events where nothing happened for more than `gap_minutes`.

    A session in which someone logs in belongs to that user: its events without a user get the first one's in it.
    One shuffle, by the visitor.

    Args:
        events: event_id, user_id, event_time and whatever more.
        visitor: The browser, or the user where the log names no browser.
        gap_minutes: The pause that ends a session.
        marks: A condition on an event.
        breaks: What else ends a session: `midnight` (UTC), `campaign` (an event names another referrer than the last
            one since the pause that named one).
        parts: Into how many parts the events are shuffled, where Spark's settings say fewer.

    Returns:
        The events with the user filled in, `session_id` (hash of the visitor and the session's first event), and of
        the session: `_events`, `_seconds` from first to last, `_pause_spread` (the standard deviation of its pauses
        over their mean; null: fewer than two pauses, or all of them 0), `_marked` (`marks` is true of one of them).
    """
    named = ["event_id", "user_id", "event_time", *(["referrer"] if "campaign" in breaks else [])]
    others = [name for name in events.columns if name not in named]
    # Each window copies its rows, field by field: what none of them looks at goes along as one field.
    narrow = events.select(*named, visitor.alias("_visitor"), marks.alias("_mark"), F.struct(*others).alias("_others"))
    # Spark sorts by a key's first eight bytes, and looks at the rest of it where they are the same.
    whose = ("_hash", "_visitor")
    by_time = Window.partitionBy(*whose).orderBy("event_time", "event_id")
    so_far = by_time.rowsBetween(Window.unboundedPreceding, Window.currentRow)
    every = (Window.unboundedPreceding, Window.unboundedFollowing)
    session = Window.partitionBy(*whose, "_number").orderBy("event_time", "event_id").rowsBetween(*every)
    pause = F.unix_micros("event_time") - F.lag(F.unix_micros("event_time")).over(by_time)
    opens = F.col("_pause").isNull() | (F.col("_pause") > gap_minutes * 60_000_000)
    came_from = {}
    if "campaign" in breaks:
        before = by_time.rowsBetween(Window.unboundedPreceding, -1)
        since = F.when(opens | F.col("referrer").isNotNull(), F.struct("referrer"))
        came_from = {"_came_from": F.last(since, ignorenulls=True).over(before)["referrer"]}
        opens = opens | F.coalesce(F.col("_came_from") != F.col("referrer"), F.lit(False))
    if "midnight" in breaks:
        opens = opens | (F.col("_pause") > F.pmod(F.unix_micros("event_time"), F.lit(MICROS_A_DAY)))
    first = F.last(F.when(opens, F.struct("event_time", "event_id")), ignorenulls=True).over(so_far)
    milliseconds = F.when(~opens, F.floor(F.col("_pause") / 1000).cast("double"))
    of_session = {
        "_events": F.count(F.lit(1)).over(session),
        "_until": F.last("event_time").over(session),
        "_total": F.sum("_ms").over(session),
        "_squares": F.sum(F.col("_ms") * F.col("_ms")).over(session),
        "_marked": F.bool_or("_mark").over(session),
        "_owner": F.first("user_id", ignorenulls=True).over(session),
    }
    seconds = (F.unix_micros("_until") - F.unix_micros(F.col("_first.event_time"))) / 1_000_000
    pauses = F.col("_events") - 1
    variance = pauses * F.try_divide("_squares", F.col("_total") * F.col("_total")) - 1
    spread = F.when(pauses >= 2, F.sqrt(F.greatest(variance, F.lit(0.0))))
    hashed = narrow.withColumn("_hash", F.xxhash64("_visitor"))
    if parts > int(str(events.sparkSession.conf.get("spark.sql.shuffle.partitions"))):
        hashed = hashed.repartition(parts, *whose)
    return (
        hashed.withColumn("_pause", pause)
        .withColumns(came_from)
        .withColumns({"_first": first, "_number": F.sum(opens.cast("int")).over(so_far), "_ms": milliseconds})
        .withColumns(of_session)
        .select(
            *[F.col(name) for name in named if name != "user_id"],
            F.coalesce("user_id", "_owner").alias("user_id"),
            *[F.col("_others")[name].alias(name) for name in others],
            F.lower(F.hex(F.xxhash64("_visitor", "_first"))).alias("session_id"),
            "_events",
            seconds.alias("_seconds"),
            spread.alias("_pause_spread"),
            "_marked",
        )
    )
