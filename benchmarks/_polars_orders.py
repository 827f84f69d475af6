"""What users bought, and in which rhythm, in Polars: sums as of one day, one row a user."""

from __future__ import annotations

import math

import polars as pl
from _peer import Task
from _polars_windows import Silver, known, sums


def _caps(task: Task, lines: pl.DataFrame) -> pl.DataFrame:
    """Beyond which amount a line counts as the cap, by the month from which it counts: `month` and `cap`.

    exp(median + mads × 1.4826 × MAD) of the logarithms of what was paid in the months before, in bins 0.1 % wide.
    """
    paid = lines.filter((pl.col("quantity") > 0) & (pl.col("net_amount") > 0))
    by_month = (
        paid.select("month", (pl.col("net_amount").cast(pl.Float64).log() * 1000).floor().alias("bin"))
        .group_by("month", "bin")
        .len("lines")
    )
    mads = task.settings.features.outlier_mads
    assert mads is not None
    rows = []
    for month in by_month["month"].unique().sort():
        before = by_month.filter(pl.col("month") < month).group_by("bin").agg(pl.col("lines").sum())
        if before["lines"].sum() < 100:
            continue
        middle = _median(before, pl.col("bin"))
        spread = _median(before, (pl.col("bin") - middle).abs())
        if spread > 0:
            rows.append((month, math.exp((middle + 1 + mads * 1.4826 * spread) / 1000)))
    return pl.DataFrame(rows, schema={"month": pl.Date, "cap": pl.Float64}, orient="row")


def _median(counted: pl.DataFrame, value: pl.Expr) -> float:
    """Of values that each stand for `lines` of them."""
    ordered = counted.select(value.alias("value"), "lines").sort("value").with_columns(pl.col("lines").cum_sum())
    last = int(ordered["lines"][-1]) - 1
    low, high = (ordered.filter(pl.col("lines") > rank)["value"][0] for rank in (last // 2, (last + 1) // 2))
    return float(low + high) / 2


def known_lines(task: Task, silver: Silver) -> pl.DataFrame:
    """Order lines and returns that are known, with their net amounts capped, and whether they are `bought`."""
    counts_from = pl.max_horizontal("order_time", "arrived_at").dt.date() + pl.duration(days=1)
    lines = silver.order_lines.with_columns(counts_from.dt.truncate("1mo").alias("month"))
    net = pl.col("net_amount")
    capped = pl.when(net.abs() > pl.col("cap")).then((net.sign() * pl.col("cap")).cast(pl.Int64)).otherwise(net)
    return (
        known(task, lines, "order_time")
        .join(_caps(task, lines), on="month", how="left")
        .with_columns(capped.alias("net_amount"), (pl.col("quantity") > 0).alias("bought"))
    )


def purchases(task: Task, lines: pl.DataFrame) -> pl.DataFrame:
    """Sums of known lines by user; an order is an order_id on a day."""
    bought, net, off, units = (
        pl.col("bought"), pl.col("net_amount"), pl.col("discount"), pl.col("quantity").cast(pl.Int64),
    )  # fmt: skip
    gross = pl.col("unit_price") * units
    discounted = bought & (off > 0)
    of_bought = {"spent": net, "gross": gross, "discounts": off, "units": units}
    values = {
        "orders": pl.col("opens"),
        "money": net,
        **{name: pl.when(bought).then(value) for name, value in of_bought.items()},
        "returned_units": pl.when(~bought).then(-units),
        "lines": bought,
        "discounted_lines": discounted,
        "discounted_gross": pl.when(discounted).then(gross),
        "deep_discount_lines": discounted & (gross > 0) & (off / gross >= task.settings.features.deep_discount),
        "coupon_lines": bought & (pl.col("coupon_amount") > 0),
    }
    at = pl.when("bought").then("order_time")
    firsts = (at.min().alias("first_order"), at.max().alias("last_order"))
    opens = pl.struct("user_id", "order_id", "day", "bought").is_first_distinct() & bought
    return lines.with_columns(opens.alias("opens")).group_by("user_id").agg(*sums(task, values), *firsts)


def rhythm(task: Task, lines: pl.DataFrame) -> pl.DataFrame:
    """Sums over days with an order, by user: how long after the one before, and what was spent after the first."""
    days = lines.filter("bought").group_by("user_id", "day").agg(pl.col("net_amount").sum().alias("spent"))
    same = pl.col("user_id") == pl.col("user_id").shift()
    gap = pl.when(same).then(pl.col("day").diff().dt.total_days()).alias("gap")
    values = {"gaps": pl.col("gap").is_not_null(), "gap_days": pl.col("gap"), "gap_squares": pl.col("gap") ** 2}
    return (
        days.sort("user_id", "day")
        .with_columns(gap)
        .group_by("user_id")
        .agg(
            *sums(task, values),
            pl.col("gap").count().cast(pl.Int64).alias("gaps_ever"),
            pl.col("gap").sum().alias("gap_days_ever"),
            pl.col("spent").filter(pl.col("gap").is_not_null()).sum().alias("repeat_spent_ever"),
        )
    )
