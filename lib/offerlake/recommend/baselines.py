"""What any recommender has to beat: what everybody looks at, and what the user buys anyway."""

from __future__ import annotations

from datetime import date

from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F


def popularity(interactions: DataFrame, *, as_of: date, days: int, mode: str) -> DataFrame:
    """How popular products are of late.

    With n the users whose last view, cart or purchase of the product lies in [as_of - days, as_of):
    popularity = log(2 + n) / log(2 + the largest n), above 0 to 1: what nobody looked at of late still competes.
    The appeal, which multiplies what ALS says, is the same; in mode discover it counts the users whose *first* event
    lies there: milk is popular, but hardly anybody buys it who never did.

    Args:
        interactions: The table `interactions` as of that day.
        as_of: The day.
        days: Length of the window.
        mode: replenish, discover or both.

    Returns:
        product_id, users (bigint), popularity, appeal (double); one row a product with interactions.
    """
    start = F.date_sub(F.lit(as_of), days).cast("timestamp")
    counted = interactions.groupBy("product_id").agg(
        F.count_if(F.col("last_time") >= start).alias("users"), F.count_if(F.col("first_time") >= start).alias("new")
    )
    largest = counted.agg(F.max("users").alias("most_users"), F.max("new").alias("most_new"))

    def share(number: str, most: str) -> Column:
        return F.log(F.col(number) + F.lit(2.0)) / F.log(F.col(most) + F.lit(2.0))

    popular = share("users", "most_users")
    appeal = share("new", "most_new") if mode == "discover" else popular
    return counted.crossJoin(F.broadcast(largest)).select(
        "product_id", "users", popular.alias("popularity"), appeal.alias("appeal")
    )


def popularity_in_groups(
    interactions: DataFrame, of_users: DataFrame | None, *, as_of: date, days: int
) -> DataFrame | None:
    """How many users of each group had last to do with a product in [as_of - days, as_of), see `popularity`.

    Args:
        interactions: The table `interactions` as of that day.
        of_users: user_id, group: what `features.groups.user_groups` gives; None: there are no groups.
        as_of: The day.
        days: Length of the window.

    Returns:
        group, product_id, users (bigint); None without groups.
    """
    if of_users is None:
        return None
    recent = F.col("last_time") >= F.date_sub(F.lit(as_of), days).cast("timestamp")
    seen = interactions.where(recent).join(of_users, on="user_id", how="inner")
    return seen.groupBy("group", "product_id").agg(F.count(F.lit(1)).alias("users"))


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
