"""What had happened and arrived before a day, in Polars, and sums of it over the windows before that day."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import polars as pl
from _peer import WINDOWS, YEAR, Task


@dataclass(frozen=True)
class Silver:
    """The cleaned tables."""

    products: pl.DataFrame
    users: pl.DataFrame
    offers: pl.DataFrame
    order_lines: pl.DataFrame
    exposures: pl.DataFrame
    redemptions: pl.DataFrame
    clicks: pl.DataFrame


def known(task: Task, frame: pl.DataFrame, happened: str) -> pl.DataFrame:
    """What had happened and arrived before the day, with the `day` on which it happened."""
    before = frame.filter(pl.max_horizontal(happened, "arrived_at") < task.midnight)
    return before.with_columns(pl.col(happened).dt.date().alias("day"))


def newest(frame: pl.DataFrame, key: str, before: pl.Expr) -> pl.DataFrame:
    """The newest version of each key that is known; the first one always is."""
    ordered = frame.sort(key, "arrived_at")
    return ordered.filter(before | pl.col(key).is_first_distinct()).unique(key, keep="last")


def in_window(task: Task, days: int) -> pl.Expr:
    """Whether `day` is one of the last so many."""
    return pl.col("day") >= pl.lit(task.as_of) - pl.duration(days=days)


def sums(task: Task, values: Mapping[str, pl.Expr]) -> list[pl.Expr]:
    """Sums of each over its windows, called <name>_<days>d."""
    return [
        pl.when(in_window(task, days)).then(value).sum().cast(pl.Int64).alias(f"{name}_{days}d")
        for name, value in values.items()
        for days in WINDOWS.get(name, (YEAR,))
    ]


def in_app(task: Task) -> pl.Expr:
    """Whether `channel` is the shop's app; false where it is not known."""
    return pl.col("channel").str.to_lowercase().is_in(task.app_channels).fill_null(value=False)
