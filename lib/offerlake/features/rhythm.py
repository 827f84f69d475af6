"""Days with an order and the gaps between them, as sums that hold on both clocks."""

from __future__ import annotations

from pyspark.sql import DataFrame, Window
from pyspark.sql import functions as F

from offerlake.features.telling import Telling, told_as

OF_RHYTHM = ("order_days", "gaps", "gap_days", "gap_squares", "repeat_spent")
"""The columns that `with_rhythm` adds."""

_KEY = ("user_id", "event_day", "since")


def with_rhythm(daily: DataFrame) -> DataFrame:
    """Adds which days are days with an order, how long after the one before, and what was spent after the first.

    A gap is told on the day that ends it, from when both its days are known. An order that becomes known after a later
    one parts the gap in which it lies, or opens one: from then on the gap of the day after it is another, and the
    difference is a row of its own. Likewise what was spent on a day is repeat_spent from when an earlier day with an
    order is known. So the sums of what counts as of any day are those of the days with an order known then.

    Args:
        daily: `_KEY` (unique), orders and spent (bigint), and columns of its own; nothing is spent on a day of which
            no order is known.

    Returns:
        daily with OF_RHYTHM (bigint?), and the rows of what changes later, in which all other columns are null. No
        shuffle where daily is parted by user_id.
    """
    own = {field.name: field.dataType.simpleString() for field in daily.schema if field.name not in _KEY}
    found = _with_neighbours(_with_first_orders(daily))
    day, previous, following = F.col("_day"), F.col("_previous"), F.col("_following")
    closes = F.col("_ordered") & previous.isNotNull()
    gap = F.when(closes, day - previous)
    repeats = F.coalesce(F.col("_repeats_from") <= F.col("since"), F.lit(False))
    told = {name: F.col(name) for name in own} | {
        "order_days": F.col("_ordered"),
        "gaps": closes,
        "gap_days": gap,
        "gap_squares": gap * gap,
        "repeat_spent": F.when(repeats, F.col("spent")),
    }
    after, before = following - day, following - previous
    parted = {
        "gaps": previous.isNull(),
        "gap_days": after - F.coalesce(before, F.lit(0)),
        "gap_squares": after * after - F.coalesce(before * before, F.lit(0)),
    }
    became = F.col("_repeats_from").isNotNull() & ~repeats & (F.col("spent") != 0)
    event_day, since = F.col("event_day"), F.col("since")
    return told_as(
        found,
        own | dict.fromkeys(OF_RHYTHM, "bigint"),
        Telling(event_day, since, told),
        Telling(F.date_from_unix_date(following), since, parted, when=following.isNotNull()),
        Telling(event_day, F.col("_repeats_from"), {"repeat_spent": F.col("spent")}, when=became),
    )


def _with_first_orders(daily: DataFrame) -> DataFrame:
    """Adds what is known of a day, and of the days before it.

    Returns:
        daily with `_day` (int: event_day), `_ordered`: whether the row tells of the day's first known order, and
        `_repeats_from` (date?): from when an earlier day with an order is known.
    """
    of_day = Window.partitionBy("user_id", "_day").orderBy("since").rowsBetween(Window.unboundedPreceding, -1)
    earlier = Window.partitionBy("user_id").orderBy("_day").rangeBetween(Window.unboundedPreceding, -1)
    ordered = (F.col("orders") > 0) & (F.coalesce(F.sum("orders").over(of_day), F.lit(0)) == 0)
    dated = daily.withColumn("_day", F.unix_date("event_day")).withColumn("_ordered", ordered)
    return dated.withColumn("_repeats_from", F.min(F.when(F.col("_ordered"), F.col("since"))).over(earlier))


def _with_neighbours(days: DataFrame) -> DataFrame:
    """Adds to each day with an order those that were known just before and after it when it became known.

    Nearly always orders become known in their order, and the day before is the last one known. Only for the others
    the user's days are looked through.

    Returns:
        days with `_previous` (int?), and `_following` (int?; null where there was none).
    """
    whole = Window.partitionBy("user_id")
    as_known = whole.orderBy("since", "_day").rowsBetween(Window.unboundedPreceding, -1)
    last = F.max(F.when(F.col("_ordered"), F.col("_day"))).over(as_known)
    late = F.col("_ordered") & F.coalesce(F.col("_last") > F.col("_day"), F.lit(False))
    listed = F.when(F.col("_any_late") & F.col("_ordered"), F.struct("_day", "since"))
    told = (
        days.withColumn("_last", last)
        .withColumn("_late", late)
        .withColumn("_any_late", F.max("_late").over(whole))
        .withColumn("_days", F.collect_list(listed).over(whole))
    )
    known_before = F.filter("_days", lambda each: (each["_day"] < F.col("_day")) & (each["since"] <= F.col("since")))
    known_after = F.filter("_days", lambda each: (each["_day"] > F.col("_day")) & (each["since"] < F.col("since")))
    return told.withColumns(
        {
            "_previous": F.when(F.col("_late"), F.array_max(known_before)["_day"]).otherwise(F.col("_last")),
            "_following": F.when(F.col("_late"), F.array_min(known_after)["_day"]),
        }
    ).drop("_last", "_late", "_any_late", "_days")
