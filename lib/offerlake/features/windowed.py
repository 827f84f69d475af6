"""Sums over windows as of many days in one pass.

What is added up are not events but few rows: events summed by user, day on which they happened and day from which
they count (see `clocks.counts_from`). Each of them meets the wanted days of its user once, and all windows of all
columns come out of one aggregation.

All values are integers (money in ten-thousandths), so sums are exact and the same in whatever order.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

YEAR = 364
"""The longest window in days: whole weeks, so that each weekday is in it as often."""

Sums = Mapping[str, Sequence[int]]
"""Column to the lengths of its windows in days; a window's column is called `<column>_<days>d`."""


def window_sums(
    wanted: DataFrame,
    rows: DataFrame,
    sums: Sums,
    *,
    keys: Sequence[str] = ("user_id",),
    earliest: Sequence[str] = (),
    latest: Sequence[str] = (),
) -> DataFrame:
    """Sums of the rows that count as of each wanted day, over windows of days before it.

    A row counts as of D from `since` on, and in a window of w days when D − w <= event_day.

    Args:
        wanted: as_of and keys, unique.
        rows: keys, event_day and since (dates), integer columns, null for nothing.
        sums: Column to its windows.
        keys: Whose sums; empty: everybody's.
        earliest: Timestamps of which the first is wanted, over all time.
        latest: Timestamps of which the last is wanted, over all time.

    Returns:
        wanted with `<column>_<days>d` (bigint, 0 for none), earliest and latest (null for none).
    """
    other = rows.withColumnsRenamed({key: f"_{key}" for key in keys})
    counts = F.col("since") <= F.col("as_of")
    for key in keys:
        counts = counts & (F.col(key) == F.col(f"_{key}"))
    age = F.datediff("as_of", "event_day")
    return (
        wanted.select("as_of", *keys)
        .join(other, on=counts, how="left")
        .withColumn("_age", age)
        .groupBy("as_of", *keys)
        .agg(
            *[
                F.coalesce(F.sum(F.when(F.col("_age") <= length, F.col(name))), F.lit(0)).alias(f"{name}_{length}d")
                for name, lengths in sums.items()
                for length in lengths
            ],
            *[F.min(name).alias(name) for name in earliest],
            *[F.max(name).alias(name) for name in latest],
        )
    )
