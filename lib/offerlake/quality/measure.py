"""What one pass over a table finds of all its expectations."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from offerlake.quality.drift import counted
from offerlake.quality.expectations import Expectation
from offerlake.quality.rows import REASON, broken
from offerlake.schemas import Table
from offerlake.windows import in_window, midnight


@dataclass(frozen=True)
class Measured:
    """What was found of one expectation.

    Attributes:
        rows: Rows that it speaks of: of a range, set or foreign key those that have a value; of a comparison of days
            the newest ones.
        failed: Rows that break it; None: it is not of rows.
        example: A value that breaks it.
        days: Of freshness, from the newest arrival to as_of.
        by_day: Of volume, the rows that arrived on the last day, then on that weekday one week before, two, …
        newest: Of drift, value to count in the newest days.
        reference: Of drift, likewise in the weeks before.
    """

    rows: int
    failed: int | None = None
    example: str | None = None
    days: float | None = None
    by_day: tuple[int, ...] = ()
    newest: Mapping[Any, int] | None = None
    reference: Mapping[Any, int] | None = None


def looked_at(frame: DataFrame, contract: Table, *, as_of: date, days: int) -> DataFrame:
    """Of a log the rows that happened in the `days` days before `as_of` and had arrived; other tables whole.

    Partitions of other days are not read.
    """
    if contract.partition is None:
        return frame
    happened = in_window(F.col(contract.partition), end=F.lit(as_of), days=days)
    return frame.where(happened & (F.col("arrived_at") < F.lit(midnight(as_of))))


def measure(
    frame: DataFrame,
    expected: Sequence[Expectation],
    *,
    contract: Table,
    as_of: date,
    targets: Mapping[str, DataFrame],
    quote: int,
) -> list[Measured]:
    """Measures all expectations of one table: in one aggregate over it, but for `unique`.

    Foreign keys are looked up in broadcast ids, some millions at most. `unique` is exact and so has to bring equal keys
    together: each is a pass of its own over the key's columns. What comes back is one row, and of a drift the counts of
    some thousand values.

    Args:
        frame: Rows of the table, see `looked_at`.
        expected: Its expectations.
        contract: Its contract.
        as_of: The day; 00:00 UTC.
        targets: Table to its rows, of those that foreign keys point to.
        quote: Characters of a value that an example quotes.
    """
    wide, types = frame, {column.name: column.type for column in contract.columns}
    sums: list[Column] = []
    for place, each in enumerate(expected):
        if each.foreign_key is not None:
            wide = _looked_up(wide, each, targets, place)
        if each.unique is None:
            text = bool(each.columns) and types[each.columns[0]] == "string"
            parts = _parts(each, place, as_of=as_of, text=text, quote=quote)
            sums += [part.alias(f"{place}_{name}") for name, part in parts.items()]
    row = wide.agg(*sums).collect()[0].asDict() if sums else {}
    return [
        _unique(frame, each, quote) if each.unique else _measured({name: row.get(f"{place}_{name}") for name in _NAMES})
        for place, each in enumerate(expected)
    ]


_NAMES = ("rows", "failed", "example", "days", "by_day", "newest", "reference")


def _parts(each: Expectation, place: int, *, as_of: date, text: bool, quote: int) -> dict[str, Column]:
    """The aggregates of one expectation."""
    every = F.count(F.lit(1))
    if each.freshness_days is not None:
        seconds = F.lit(midnight(as_of)).cast("double") - F.max("arrived_at").cast("double")
        return {"rows": every, "days": seconds / 86_400}
    arrived = F.date_diff(F.lit(as_of), F.to_date("arrived_at"))  # 1: on the last whole day
    if each.volume is not None:
        by_day = [F.count_if(arrived == 7 * week + 1) for week in range(each.volume.weeks + 1)]
        return {"rows": by_day[0], "by_day": F.array(*by_day)}
    column = F.col(each.columns[0])
    if each.drift is not None:
        assert each.days is not None
        newest, before = arrived <= each.days, (arrived > each.days) & (arrived <= each.reach)
        return {
            "rows": F.count(F.when(newest, column)),
            "newest": counted(column, newest, number=not text),
            "reference": counted(column, before, number=not text),
        }
    wrong = F.col(f"_missed_{place}") if each.foreign_key is not None else broken(each)
    counts = {"rows": every if each.not_null else F.count(column), "failed": F.count_if(wrong)}
    example = F.max(F.when(wrong, F.left(column.cast("string"), F.lit(quote))))
    return counts if each.not_null else {**counts, "example": example}


def _looked_up(frame: DataFrame, each: Expectation, targets: Mapping[str, DataFrame], place: int) -> DataFrame:
    """Adds `_missed_<place>`: the column has a value that its target has not."""
    table, column = each.target
    found, name = f"_found_{place}", f"_id_{place}"
    ids = targets[table].select(F.col(column).alias(name)).distinct().withColumn(found, F.lit(True))
    joined = frame.join(F.broadcast(ids), F.col(each.columns[0]) == F.col(name), how="left")
    missed = F.col(each.columns[0]).isNotNull() & F.col(found).isNull()
    return joined.withColumn(f"_missed_{place}", missed).drop(found, name)


def _unique(frame: DataFrame, each: Expectation, quote: int) -> Measured:
    """Rows whose key stands in a row before them; keys with a null in them are none."""
    keys = frame.select(*each.columns).dropna()
    times = keys.groupBy(*each.columns).agg(F.count(F.lit(1)).alias("times"))
    key = F.left(F.concat_ws(", ", *[F.col(name).cast("string") for name in each.columns]), F.lit(quote))
    sums = {"rows": F.sum("times"), "keys": F.count(F.lit(1)), "example": F.max(F.when(F.col("times") > 1, key))}
    row = times.agg(*[part.alias(name) for name, part in sums.items()]).collect()[0]
    rows = row["rows"] or 0
    return Measured(rows=rows, failed=rows - row["keys"], example=row["example"])


def _measured(found: dict[str, Any]) -> Measured:
    return Measured(
        rows=found["rows"],
        failed=found["failed"],
        example=found["example"],
        days=found["days"],
        by_day=tuple(found["by_day"] or ()),
        newest=_counts(found["newest"]),
        reference=_counts(found["reference"]),
    )


def _counts(pairs: Sequence[Any] | None) -> dict[Any, int] | None:
    return None if pairs is None else {pair["item"]: pair["count"] for pair in pairs if pair["item"] is not None}


def kept_out(quarantine: DataFrame, feed: str, contract: Table, *, as_of: date, days: int) -> dict[str, int]:
    """Records that cleaning kept out for an expectation: its name to their number, of the days that are looked at."""
    said = F.explode(F.filter("reasons", lambda reason: reason.startswith(f"{REASON}:"))).alias("reason")
    columns = [name for name in (contract.partition, "arrived_at") if name and contract.partition]
    types = ", ".join(f"{column.name} {column.type}" for column in contract.columns if column.name in columns)
    refused = quarantine.where(F.col("feed") == feed)
    if types:
        refused = refused.withColumn("_row", F.from_json("record", types)).withColumns(
            {name: F.col(f"_row.{name}") for name in columns}
        )
    name = F.regexp_extract("reason", f"^{REASON}:([^=]*)=", 1).alias("name")
    seen = looked_at(refused, contract, as_of=as_of, days=days).select(said).groupBy(name).count()
    return {row["name"]: row["count"] for row in seen.collect()}
