"""What any recommender has to beat: what everybody looks at, and what the user buys anyway."""

from __future__ import annotations

from datetime import date

from pyspark.sql import DataFrame, Window
from pyspark.sql import functions as F


def popularity(interactions: DataFrame, *, as_of: date, days: int) -> DataFrame:
    """How popular products are of late.

    With n the users whose last view, cart or purchase of the product lies in [as_of - days, as_of):
    popularity = log(2 + n) / log(2 + the largest n), above 0 to 1: what nobody looked at of late still competes.

    Args:
        interactions: The table `interactions` as of that day.
        as_of: The day.
        days: Length of the window.

    Returns:
        product_id, users (bigint), popularity (double); one row a product with interactions.
    """
    recent = F.col("last_time") >= F.date_sub(F.lit(as_of), days).cast("timestamp")
    counted = interactions.groupBy("product_id").agg(F.count_if(recent).alias("users"))
    largest = counted.agg(F.max("users").alias("largest"))
    share = F.log(F.col("users") + F.lit(2.0)) / F.log(F.col("largest") + F.lit(2.0))
    return counted.crossJoin(F.broadcast(largest)).select("product_id", "users", share.alias("popularity"))


def frequency(interactions: DataFrame, *, k: int) -> DataFrame:
    """The user's own most bought products: most purchases first, then the latest, then by id.

    Returns:
        user_id, product_id, rank (from 1 to k at most).
    """
    order = Window.partitionBy("user_id").orderBy(F.desc("purchases"), F.desc("last_time"), "product_id")
    return (
        interactions.where(F.col("purchases") > 0)
        .withColumn("rank", F.row_number().over(order))
        .where(F.col("rank") <= k)
        .select("user_id", "product_id", "rank")
    )
