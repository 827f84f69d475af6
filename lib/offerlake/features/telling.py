"""What happened once, as the rows in which `windowed.window_sums` adds it up: now, and again where it changes later."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F


@dataclass(frozen=True)
class Telling:
    """One row.

    Attributes:
        day: The day to which it belongs.
        since: From which day it counts.
        values: What it adds; nothing to the columns that it does not name.
        when: Whether there is such a row; None: always.
    """

    day: Column
    since: Column
    values: Mapping[str, Column]
    when: Column | None = None


def told_as(frame: DataFrame, types: Mapping[str, str], *rows: Telling) -> DataFrame:
    """Each row of a frame as several.

    Args:
        frame: user_id, and what `rows` are made of.
        types: Column to its SQL type.
        rows: What is told.

    Returns:
        user_id, event_day, since (dates), and the columns of `types`, null where a row does not name them.
    """

    def made(row: Telling) -> Column:
        values = [row.values.get(name, F.lit(None)).cast(type_).alias(name) for name, type_ in types.items()]
        told = F.struct(row.day.alias("event_day"), row.since.alias("since"), *values)
        return told if row.when is None else F.when(row.when, told)

    each = frame.select("user_id", F.explode(F.array(*[made(row) for row in rows])).alias("_row"))
    return each.where("_row IS NOT NULL").select("user_id", "_row.*")
