"""Which products to show with an offer: the user's candidates that are in its scope."""

from __future__ import annotations

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from offerlake.categories import levels


def products_to_show(
    chosen: DataFrame,
    candidates: DataFrame,
    offers: DataFrame,
    offer_products: DataFrame,
    products: DataFrame,
    *,
    limit: int,
) -> DataFrame:
    """The best candidates of each user within the scope of the offer chosen for him.

    Args:
        chosen: user_id, offer_id.
        candidates: The table `candidates` as of the day.
        offers: offer_id, scope, scope_values; one row an offer.
        offer_products: The table `offer_products`.
        products: product_id, category, brand; one row a product.
        limit: Products at most.

    Returns:
        user_id, offer_id, product_ids (best first). No row where no candidate is in scope.
    """
    placed = products.select("product_id", levels(F.col("category")).alias("levels"), "brand")
    listed = offer_products.select("offer_id", "product_id").distinct().withColumn("listed", F.lit(True))
    return (
        chosen.join(F.broadcast(offers.select("offer_id", "scope", "scope_values")), on="offer_id", how="inner")
        .join(candidates.select("user_id", F.posexplode("items").alias("place", "item")), on="user_id", how="inner")
        .withColumn("product_id", F.col("item.product_id"))
        .join(placed, on="product_id", how="left")
        .join(listed, on=["offer_id", "product_id"], how="left")
        .where(_in_scope())
        .groupBy("user_id", "offer_id")
        .agg(F.sort_array(F.collect_list(F.struct("place", "product_id"))).alias("found"))
        .select("user_id", "offer_id", F.slice("found.product_id", 1, limit).alias("product_ids"))
    )


def _in_scope() -> Column:
    return (
        F.when(F.col("scope") == "all", True)
        .when(F.col("scope") == "category", F.arrays_overlap("scope_values", "levels"))
        .when(F.col("scope") == "brand", F.array_contains("scope_values", F.col("brand")))
        .otherwise(F.col("listed"))
    )
