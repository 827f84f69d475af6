"""Which categories and brands a user's views and purchases lie in."""

from __future__ import annotations

from pyspark.sql import DataFrame, Window
from pyspark.sql import functions as F

from offerlake.features.catalogue import signs, top_category
from offerlake.features.clocks import versions
from offerlake.features.running import Days, changes, running

_YEAR = 364


def _signs_by(
    what: str, wanted: DataFrame, at: Days, *, clicks: DataFrame, order_lines: DataFrame, products: DataFrame
) -> DataFrame:
    """Signs of 364 days by user, day and category or brand: as_of, user_id, `what`, signs (> 0).

    A sign counts for what its product was as of the day: versions of the product that follow each other take it
    over from one another.
    """
    dated = versions(products.withColumn("category", top_category(F.col("category"))), "product_id", [what])
    known = (
        signs(clicks, order_lines)
        .join(dated.where(F.col(what).isNotNull()), on="product_id", how="inner")
        .select(
            "user_id",
            what,
            "event_day",
            F.greatest("since", "known_from").alias("since"),
            F.col("known_to").alias("until"),
            F.lit(1).alias("signs"),
        )
    )
    steps = changes(known, {"signs": (_YEAR,)}, at, keys=("user_id", what))
    grid = wanted.join(steps.select("user_id", what).distinct(), on="user_id", how="inner")
    summed = running(grid, [steps], keys=("user_id", what))
    return summed.select("as_of", "user_id", what, F.col(f"signs_{_YEAR}d").alias("signs")).where(F.col("signs") > 0)


def category_signs(
    wanted: DataFrame, at: Days, *, clicks: DataFrame, order_lines: DataFrame, products: DataFrame
) -> DataFrame:
    """Sums over a user's categories.

    Returns:
        as_of, user_id, signs_364d, categories_364d (bigint), top_category_share (double); users with a sign only.
    """
    counted = _signs_by("category", wanted, at, clicks=clicks, order_lines=order_lines, products=products)
    return counted.groupBy("as_of", "user_id").agg(
        F.sum("signs").alias("signs_364d"),
        F.count("category").alias("categories_364d"),
        (F.max("signs") / F.sum("signs")).alias("top_category_share"),
    )


def user_profiles(
    wanted: DataFrame, at: Days, *, clicks: DataFrame, order_lines: DataFrame, products: DataFrame, brand_limit: int
) -> DataFrame:
    """The USER_PROFILE_COLUMNS: shares of categories and of the strongest brands.

    Returns:
        as_of, user_id, category_affinity, brand_affinity; users with a sign only.
    """
    inputs = {"clicks": clicks, "order_lines": order_lines, "products": products}
    categories = _shares(_signs_by("category", wanted, at, **inputs), "category", limit=None)
    brands = _shares(_signs_by("brand", wanted, at, **inputs), "brand", limit=brand_limit)
    return categories.join(brands, on=["as_of", "user_id"], how="full")


def _shares(counted: DataFrame, what: str, *, limit: int | None) -> DataFrame:
    """One map a user from `what` to its share, strongest first."""
    of_user = Window.partitionBy("as_of", "user_id")
    shared = counted.withColumn("share", F.col("signs") / F.sum("signs").over(of_user)).withColumn(
        "rank", F.row_number().over(of_user.orderBy(F.col("signs").desc(), what))
    )
    kept = shared if limit is None else shared.where(F.col("rank") <= limit)
    entries = F.sort_array(F.collect_list(F.struct("rank", F.col(what).alias("key"), F.col("share").alias("value"))))
    pairs = F.transform(entries, lambda entry: F.struct(entry["key"], entry["value"]))
    return kept.groupBy("as_of", "user_id").agg(F.map_from_entries(pairs).alias(f"{what}_affinity"))
