"""`interactions`: how strongly a user has shown interest in a product, as of a day."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from offerlake.schemas.gold import INTERACTIONS
from offerlake.windows import known_before

_UNIT = 1e9
"""Weights are summed as whole billionths: exact, and the same in whatever order."""


def interactions(
    as_of: date,
    *,
    clicks: DataFrame,
    order_lines: DataFrame,
    weights: Mapping[str, float],
    half_life_days: float,
) -> DataFrame:
    """The table `interactions` for one day.

    weight = Σ over events of weights[type] × 0.5^(age / half_life_days), age in whole days before `as_of`, over views
    and add_to_cart of clicks and `purchase` for each bought order line (a click `purchase` tells of the same thing
    again and is left out); products that are in `products` only, weights below 1e-9 left out.
    """
    start = F.lit(as_of).cast("timestamp")
    seen = clicks.where(
        F.col("user_id").isNotNull()
        & F.col("product_id").isNotNull()
        & F.col("known_product")
        & F.col("event_type").isin("view", "add_to_cart")
        & known_before(start, happened=F.col("event_time"), arrived=F.col("arrived_at"))
    ).select("user_id", "product_id", "event_type", F.col("event_time").alias("time"), F.col("event_date").alias("day"))
    bought = order_lines.where(
        (F.col("quantity") > 0)
        & F.col("known_product")
        & known_before(start, happened=F.col("order_time"), arrived=F.col("arrived_at"))
    ).select(
        "user_id",
        "product_id",
        F.lit("purchase").alias("event_type"),
        F.col("order_time").alias("time"),
        F.col("order_date").alias("day"),
    )
    worth = F.lit(0.0)
    for kind, weight in weights.items():
        worth = F.when(F.col("event_type") == kind, F.lit(float(weight))).otherwise(worth)
    decay = F.pow(F.lit(0.5), F.datediff(F.lit(as_of), "day") / F.lit(half_life_days))
    weighed = (
        seen.unionByName(bought)
        .withColumn("part", F.round(worth * decay * _UNIT).cast("bigint"))
        .groupBy("user_id", "product_id")
        .agg(
            (F.sum("part") / F.lit(_UNIT)).alias("weight"),
            F.sum((F.col("event_type") == "purchase").cast("int")).alias("purchases"),
            F.min("time").alias("first_time"),
            F.max("time").alias("last_time"),
        )
        .where(F.col("weight") > 0)
    )
    return INTERACTIONS.select(weighed.withColumn("as_of", F.lit(as_of)))
