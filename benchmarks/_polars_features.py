"""Features of users as of one day, in Polars: what had happened and arrived before it."""

from __future__ import annotations

import polars as pl
import polars.selectors as cs
from _peer import YEAR, Task
from _polars_events import redemptions, sendings, visits
from _polars_formulas import formulas
from _polars_orders import known_lines, purchases, rhythm
from _polars_windows import Silver, in_window, known, newest

_TOP = pl.col("category").str.split(" > ").list.first().alias("category")


def _signs(task: Task, silver: Silver) -> pl.DataFrame:
    """Product views and bought lines of the last year, one row each."""
    seen = silver.clicks.filter(
        (pl.col("event_type") == "view") & pl.col("user_id").is_not_null() & pl.col("product_id").is_not_null()
    )
    views = known(task, seen, "event_time").select("user_id", "product_id", "day", pl.lit(value=False).alias("bought"))
    lines = known(task, silver.order_lines.filter(pl.col("quantity") > 0), "order_time")
    both = pl.concat([views, lines.select("user_id", "product_id", "day", pl.lit(value=True).alias("bought"))])
    return both.filter(in_window(task, YEAR))


def _positions(silver: Silver, months: pl.Series) -> pl.DataFrame:
    """Each priced product's place among the prices of its category on the first day of each month, in millionths."""
    listed = silver.products.with_columns(_TOP).sort("product_id", "arrived_at")
    first = pl.col("product_id").is_first_distinct()
    lists = (
        listed.with_columns(first.alias("first"))
        .join(pl.DataFrame({"month": months}), how="cross")
        .filter(pl.col("first") | (pl.col("arrived_at").dt.date() < pl.col("month")))
        .unique(["product_id", "month"], keep="last", maintain_order=True)
        .filter(pl.col("price").is_not_null())
    )
    among = ("month", "category")
    rank = pl.col("price").rank("min").over(among).cast(pl.Int64) - 1
    others = pl.len().over(among).cast(pl.Int64) - 1
    place = pl.when(others > 0).then(rank / others).otherwise(0.0)
    return lists.select(
        "product_id", "month", (place * 1_000_000).round(mode="half_away_from_zero").cast(pl.Int64).alias("position")
    )


def _interests(task: Task, silver: Silver) -> pl.DataFrame:
    """How many things each user looked at and bought, how widely spread, and how dear."""
    signs = _signs(task, silver).with_columns(pl.col("day").dt.truncate("1mo").alias("month"))
    products = newest(silver.products, "product_id", pl.col("arrived_at") < task.midnight)
    placed = pl.col("position").is_not_null()
    counted = (
        signs.lazy()
        .join(_positions(silver, signs["month"].unique()).lazy(), on=["product_id", "month"], how="left")
        .join(products.lazy().select("product_id", _TOP), on="product_id")
        .group_by("user_id", "category")
        .agg(
            pl.len().cast(pl.Int64).alias("signs"),
            pl.col("position").filter(~pl.col("bought")).sum().alias("view_position"),
            (placed & ~pl.col("bought")).sum().alias("placed_views"),
            pl.col("position").filter("bought").sum().alias("bought_position"),
            (placed & pl.col("bought")).sum().alias("placed_lines"),
        )
        .collect(engine="streaming")
    )

    def position(total: str, number: str) -> pl.Expr:
        count = pl.col(number).sum()
        return pl.when(count > 0).then(pl.col(total).sum() / count / 1_000_000)

    return counted.group_by("user_id").agg(
        pl.col("signs").sum().alias("signs_364d"),
        pl.len().alias("categories_364d"),
        (pl.col("signs").max() / pl.col("signs").sum()).alias("top_category_share"),
        position("view_position", "placed_views").alias("viewed_price_position_364d"),
        position("bought_position", "placed_lines").alias("bought_price_position_364d"),
    )


def user_features(task: Task, silver: Silver) -> pl.DataFrame:
    """The table `user_features` of the day."""
    clicked, lines = visits(task, silver), known_lines(task, silver)
    bought = purchases(task, lines)
    parts = (clicked, bought, rhythm(task, lines), sendings(task, silver), redemptions(task, silver))
    users = newest(silver.users, "user_id", pl.col("arrived_at") < task.midnight)
    signed_up = users.filter(pl.col("signup_time").is_null() | (pl.col("signup_time") < task.midnight))
    buyers = bought.filter(pl.col("first_order").is_not_null())
    everybody = pl.concat(each.select("user_id") for each in (signed_up, clicked, buyers)).unique()
    attributes = users.select("user_id", "signup_time", "age_band", "gender", "region")
    found = everybody.join(attributes, on="user_id", how="left")
    for part in parts:
        found = found.join(part, on="user_id", how="left")
    found = found.with_columns(cs.integer().fill_null(0)).join(_interests(task, silver), on="user_id", how="left")
    shop = {
        name.removesuffix("_364d"): int(part[name].sum())
        for part in parts
        for name in part.columns
        if name.endswith("_364d")
    }
    return found.select("user_id", **formulas(task, shop))


def user_profiles(task: Task, silver: Silver) -> pl.DataFrame:
    """The table `user_profiles`: shares of categories and of the strongest brands, a list of keys and values each."""
    signs = _signs(task, silver).select("user_id", "product_id")
    products = newest(silver.products, "product_id", pl.col("arrived_at") < task.midnight).with_columns(_TOP)
    shares = []
    for what, limit in (("category", None), ("brand", task.settings.features.brand_limit)):
        of = products.filter(pl.col(what).is_not_null()).select("product_id", pl.col(what).alias("key"))
        counted = signs.lazy().join(of.lazy(), on="product_id").group_by("user_id", "key").agg(pl.len().alias("signs"))
        ordered = counted.with_columns((pl.col("signs") / pl.col("signs").sum().over("user_id")).alias("value")).sort(
            "user_id", "signs", "key", descending=[False, True, False]
        )
        entries = pl.struct("key", "value")
        entries = entries if limit is None else entries.head(limit)
        shares.append(ordered.group_by("user_id").agg(entries.alias(f"{what}_affinity")).collect(engine="streaming"))
    return shares[0].join(shares[1], on="user_id", how="full", coalesce=True)
