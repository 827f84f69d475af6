"""The two clocks as dates: from which `as_of` on a row counts, and which version of a dimension is the newest known."""

from __future__ import annotations

from collections.abc import Sequence

from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F

from offerlake.windows import MICROS_A_DAY, utc_day

MONEY_UNIT = 10_000
"""Money is summed as whole ten-thousandths (bigint): exact, and the same in whatever order."""


def counts_from(happened: Column, arrived: Column) -> Column:
    """The first `as_of` (date) on which a row counts: the day after it had both happened and arrived."""
    return F.date_add(utc_day(F.greatest(happened, arrived)), 1)


def days_since(moment: Column, as_of: Column) -> Column:
    """Days (double, with their fraction) from a timestamp to `as_of` 00:00 UTC; null where there is no moment."""
    return (F.unix_micros(as_of.cast("timestamp")) - F.unix_micros(moment)) / F.lit(MICROS_A_DAY)


def whole_money(amount: Column) -> Column:
    """A decimal(18,4) as a bigint of ten-thousandths."""
    return (amount * F.lit(MONEY_UNIT)).cast("bigint")


def versions(frame: DataFrame, key: str, columns: Sequence[str]) -> DataFrame:
    """Turns the versions of a dimension into half-open intervals of days.

    Versions that differ in none of `columns` are one. The first version counts as always known; of those that
    arrived on one day only the last counts.

    Args:
        frame: A dimension: `key`, `arrived_at` and `columns`.
        key: Its id.
        columns: What is wanted of it.

    Returns:
        key, columns, known_from, known_to (dates): the newest known for each as_of in [known_from, known_to);
        known_to null: still the newest.
    """
    history = Window.partitionBy(key).orderBy("arrived_at")
    content = F.struct(*columns)
    changed = (
        frame.select(key, "arrived_at", *columns)
        .withColumn("_before", F.lag(content).over(history))
        .where(F.col("_before").isNull() | ~F.col("_before").eqNullSafe(content))
    )
    known_from = F.when(F.col("_before").isNull(), F.lit("0001-01-01").cast("date")).otherwise(
        F.date_add(utc_day(F.col("arrived_at")), 1)
    )
    return (
        changed.withColumn("known_from", known_from)
        .withColumn("known_to", F.lead("known_from").over(history))
        .where(F.col("known_to").isNull() | (F.col("known_from") < F.col("known_to")))
        .select(key, *columns, "known_from", "known_to")
    )


def valid_on(day: Column) -> Column:
    """True where `day` lies in [known_from, known_to)."""
    return (day >= F.col("known_from")) & (F.col("known_to").isNull() | (day < F.col("known_to")))


def with_version(frame: DataFrame, dimension: DataFrame, key: str, *, day: str, how: str = "left") -> DataFrame:
    """Adds to each row the version of `key` that was the newest known on its `day`; nulls where there is none.

    Args:
        frame: Rows with `key` and `day`.
        dimension: What `versions` gives.
        key: The dimension's id.
        day: A date column of `frame`.
        how: `inner`: rows without a version are left out.
    """
    other = dimension.withColumnRenamed(key, "_key")
    matches = (F.col(key) == F.col("_key")) & valid_on(F.col(day))
    return frame.join(other, on=matches, how=how).drop("_key", "known_from", "known_to")
