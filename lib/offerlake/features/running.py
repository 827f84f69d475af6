"""Sums over windows as of many days in one pass.

A row that happened on day e and counts from day s on (see `clocks.counts_from`) is in the window of w days as of D
when s <= D <= e + w. So it adds its value on the first wanted day at or after s and takes it off again on the first
one at or after e + w + 1; the running sum of these changes over the wanted days is the window's sum on each of them.
Work grows with rows plus wanted days, not with their product, and one day costs one aggregation.

All values are integers (money in ten-thousandths), so a running sum is exact in any order.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta

from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F

Sums = Mapping[str, Sequence[int]]
"""Column to the lengths of its windows in days; a window's column is called `<column>_<days>d`."""


@dataclass(frozen=True)
class Days:
    """The days as of which something is wanted, ascending."""

    wanted: tuple[date, ...]

    @staticmethod
    def of(days: Sequence[date]) -> Days:
        """Sorted and without repetition; at least one."""
        assert days, "no day is wanted"
        return Days(tuple(sorted(set(days))))

    def at_or_after(self, day: Column) -> Column:
        """The first wanted day that is not before `day`; null: there is none."""
        first = self.wanted[0]
        following: list[date] = []
        for earlier, later in zip(self.wanted, self.wanted[1:], strict=False):
            following.extend([later] * (later - earlier).days)
        table = F.array(F.lit(first), *[F.lit(each) for each in following])
        return F.get(table, F.greatest(F.lit(0), F.datediff(day, F.lit(first))))

    @property
    def earliest(self) -> date:
        """The first wanted day."""
        return self.wanted[0]

    def since(self, days: int) -> date:
        """The day that is `days` before the first wanted one."""
        return self.wanted[0] - timedelta(days=days)


def changes(
    rows: DataFrame,
    sums: Sums,
    days: Days,
    *,
    keys: Sequence[str] = ("user_id",),
    earliest: Sequence[str] = (),
    latest: Sequence[str] = (),
) -> DataFrame:
    """By how much each window's sum changes on each wanted day.

    Args:
        rows: keys, `event_day` and `since` (dates), the integer columns of `sums`, the timestamps of `earliest` and
            `latest`; optionally `until` (date?): the first as_of on which the row counts no more in any window.
        sums: Column to window lengths.
        days: The wanted days.
        keys: Whose sums.
        earliest: Timestamps of which the first is wanted, over all time.
        latest: Timestamps of which the last is wanted, over all time.

    Returns:
        keys, as_of, and `<column>_<days>d` (bigint), earliest, latest.
    """
    lengths = sorted({length for windows in sums.values() for length in windows})
    entry = days.at_or_after(F.col("since"))
    shelf = rows.withColumn("_in", entry).where(F.col("_in").isNotNull())
    shelf = shelf.withColumns({f"_out{length}": _exit(days, length, "until" in rows.columns) for length in lengths})
    outs = [f"_out{length}" for length in lengths]
    binned = shelf.groupBy(*keys, "_in", *outs).agg(
        *[F.sum(name).alias(name) for name in sums],
        *_extremes(earliest, latest),
    )
    signs = [[F.lit(1).alias(f"_sign{length}") for length in lengths]]
    signs += [
        [F.lit(-1 if length == closing else 0).alias(f"_sign{length}") for length in lengths] for closing in lengths
    ]
    marks = [F.struct(F.col(name).alias("as_of"), *sign) for name, sign in zip(["_in", *outs], signs, strict=True)]
    spread = binned.withColumn("_mark", F.explode(F.array(*marks))).where(F.col("_mark.as_of").isNotNull())
    return spread.groupBy(*keys, F.col("_mark.as_of").alias("as_of")).agg(
        *[
            F.sum(F.col(name) * F.col(f"_mark._sign{length}")).alias(f"{name}_{length}d")
            for name, windows in sums.items()
            for length in windows
        ],
        *_extremes(earliest, latest),
    )


def _exit(days: Days, length: int, limited: bool) -> Column:
    last = F.date_add("event_day", length + 1)
    out = days.at_or_after(F.least(last, F.col("until")) if limited else last)
    # A row that counts too late for a window goes in and out on the same day.
    return F.when(out.isNotNull(), F.greatest(out, F.col("_in")))


def _extremes(earliest: Sequence[str], latest: Sequence[str]) -> list[Column]:
    return [*[F.min(name).alias(name) for name in earliest], *[F.max(name).alias(name) for name in latest]]


def running(
    wanted: DataFrame,
    parts: Sequence[DataFrame],
    *,
    keys: Sequence[str] = ("user_id",),
    near: str | None = "user_id",
    earliest: Sequence[str] = (),
    latest: Sequence[str] = (),
) -> DataFrame:
    """Adds the changes up over the days.

    Args:
        wanted: keys and as_of of the rows that are wanted, unique.
        parts: What `changes` gives, by one or several calls, each with columns of its own or shared ones.
        keys: Whose sums.
        near: The key by which rows are brought together; all later steps find them there. None: no key.
        earliest: As in `changes`.
        latest: As in `changes`.

    Returns:
        wanted with all columns of `parts`: sums are 0, moments null where nothing has counted yet.
    """
    moments = {*earliest, *latest}
    by = [*keys, "as_of"]
    names = list(dict.fromkeys(name for part in parts for name in part.columns if name not in by))
    totals = [name for name in names if name not in moments]
    together = wanted.select(*by, F.lit(1).alias("_wanted"))
    for part in parts:
        together = together.unionByName(part, allowMissingColumns=True)
    if near is not None:
        together = together.repartition(near)
    daily = together.groupBy(*by).agg(
        F.max("_wanted").alias("_wanted"),
        *[F.coalesce(F.sum(name), F.lit(0)).alias(name) for name in totals],
        *_extremes(earliest, latest),
    )
    so_far = (
        Window.partitionBy(*([F.col(key) for key in keys] or [F.lit(0)]))
        .orderBy("as_of")
        .rowsBetween(Window.unboundedPreceding, Window.currentRow)
    )
    return (
        daily.select(
            *by,
            "_wanted",
            *[F.sum(name).over(so_far).alias(name) for name in totals],
            *[F.min(name).over(so_far).alias(name) for name in earliest],
            *[F.max(name).over(so_far).alias(name) for name in latest],
        )
        .where(F.col("_wanted").isNotNull())
        .drop("_wanted")
    )
