"""Sums over windows as of many days in one pass.

What is added up are not events but few rows: events summed by user, day on which they happened and day from which
they count (see `clocks.counts_from`). A row enters the sum of a window on the first wanted day on which it counts, and
leaves it on the first one to which it is too old: it is read once, however many days are wanted, and the sums of a day
are those of the day before with what has entered and left. So ninety days cost little more than their rows do.

All values are integers (money in ten-thousandths), so sums are exact and the same in whatever order.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date, timedelta

from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F

YEAR = 364
"""The longest window in days: whole weeks, so that each weekday is in it as often."""

Sums = Mapping[str, Sequence[int]]
"""Column to the lengths of its windows in days; a window's column is called `<column>_<days>d`."""


class Days:
    """The wanted days in order: what happens between two of them is first seen on the later one.

    Attributes:
        all: The days, ascending.
    """

    def __init__(self, days: Sequence[date]) -> None:
        self.all = tuple(sorted(set(days)))
        first, last = self.all[0], self.all[-1]
        span = range((last - first).days + 1)
        self._places = [sum(day < first + timedelta(days=k) for day in self.all) for k in span]

    def __len__(self) -> int:
        return len(self.all)

    def place(self, day: Column) -> Column:
        """The number of the first wanted day that is not before `day`, from 0; their count where there is none."""
        ahead = F.datediff(day, F.lit(self.all[0]))
        inside = F.element_at(
            F.lit(self._places), F.least(F.greatest(ahead, F.lit(0)), F.lit(len(self._places) - 1)) + 1
        )
        return F.when(ahead < len(self._places), inside).otherwise(F.lit(len(self)))

    def spread(self, frame: DataFrame, begin: Column, end: Column) -> DataFrame:
        """Each row once for each wanted day of the places [begin, end), as `as_of`."""
        there = frame.withColumns({"_begin": begin, "_end": F.coalesce(end, F.lit(len(self)))}).where("_begin < _end")
        if len(self) == 1:
            return there.withColumn("as_of", F.lit(self.all[0])).drop("_begin", "_end")
        places = F.explode(F.sequence("_begin", F.col("_end") - 1))
        day = F.element_at(F.lit([*self.all]), F.col("_place") + 1)
        return there.withColumn("_place", places).withColumn("as_of", day).drop("_begin", "_end", "_place")


def window_sums(
    wanted: DataFrame,
    rows: DataFrame,
    sums: Sums,
    *,
    as_ofs: Sequence[date],
    keys: Sequence[str] = ("user_id",),
    ever: Sequence[str] = (),
    earliest: Sequence[str] = (),
    latest: Sequence[str] = (),
) -> DataFrame:
    """Sums of the rows that count as of each wanted day, over windows of days before it. One shuffle, by the keys.

    A row counts as of D from `since` on, and in a window of w days when D − w <= event_day.

    Args:
        wanted: as_of and keys, unique; every as_of is one of `as_ofs`.
        rows: keys, event_day and since (dates), integer columns, null for nothing.
        sums: Column to its windows.
        as_ofs: The days that may be wanted.
        keys: Whose sums; empty: everybody's.
        ever: Columns whose sums over all time are wanted.
        earliest: Timestamps of which the first is wanted, over all time.
        latest: Timestamps of which the last is wanted, over all time.

    Returns:
        wanted with `<column>_<days>d` and `<column>_ever` (bigint, 0 for none), earliest and latest (null for none).
    """
    days = Days(as_ofs)
    lengths = sorted({length for windows in sums.values() for length in windows})
    columns = [*dict.fromkeys([*sums, *ever]), *earliest, *latest]
    told = rows.select(*keys, "event_day", "since", *columns).where(F.col("since") <= F.lit(days.all[-1]))
    asked = wanted.select(*keys, "as_of")
    together = told.unionByName(asked, allowMissingColumns=True)
    together = together.repartition(*keys) if keys else together.repartition(1)
    ends = {f"_end_{length}": days.place(F.date_add("event_day", length + 1)) for length in lengths}
    begun = days.place(F.coalesce("since", "as_of"))
    placed = together.select(*keys, "as_of", *columns, begun.alias("_begin"), *[c.alias(n) for n, c in ends.items()])
    moved = _moved(placed, lengths, len(days))

    def change(name: str, length: int) -> Column:
        enters = (F.col("_left") == 0) & (F.col(f"_end_{length}") > F.col("_begin"))
        leaves = F.col("_left") == length
        return F.sum(F.when(enters, F.col(name)).when(leaves, -F.col(name)))

    changes = {f"{name}_{length}d": change(name, length) for name, windows in sums.items() for length in windows}
    changes |= {f"{name}_ever": F.sum(F.when(F.col("_left") == 0, F.col(name))) for name in ever}
    found = moved.groupBy(*keys, "_place").agg(
        F.max("as_of").alias("as_of"),
        *[F.coalesce(column, F.lit(0)).alias(name) for name, column in changes.items()],
        *[F.min(name).alias(name) for name in earliest],
        *[F.max(name).alias(name) for name in latest],
    )
    if len(days) > 1:
        so_far = Window.partitionBy(*keys).orderBy("_place").rowsBetween(Window.unboundedPreceding, Window.currentRow)
        found = found.select(
            *keys,
            "as_of",
            *[F.sum(name).over(so_far).alias(name) for name in changes],
            *[F.min(name).over(so_far).alias(name) for name in earliest],
            *[F.max(name).over(so_far).alias(name) for name in latest],
        )
    return found.where(F.col("as_of").isNotNull()).select("as_of", *keys, *changes, *earliest, *latest)


def _moved(placed: DataFrame, lengths: Sequence[int], places: int) -> DataFrame:
    """Each row where it enters (`_left` 0), and again where it leaves a window of `_left` days, as `_place`."""
    enters = F.struct(F.col("_begin").alias("_place"), F.lit(0).alias("_left"))
    if places == 1:
        return placed.select("*", enters.alias("_at")).select(*placed.columns, "_at.*")
    leaves = [
        F.when(
            (F.col("_begin") < F.col(f"_end_{length}")) & (F.col(f"_end_{length}") < places),
            F.struct(F.col(f"_end_{length}").alias("_place"), F.lit(length).alias("_left")),
        )
        for length in lengths
    ]
    return (
        placed.select("*", F.explode(F.array(enters, *leaves)).alias("_at"))
        .where("_at IS NOT NULL")
        .select(*placed.columns, "_at.*")
    )
