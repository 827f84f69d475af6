"""Which products an offer that is limited to some is about, and which of them are shown with it."""

from __future__ import annotations

from datetime import date

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from offerlake.categories import levels
from offerlake.decide.eligibility import newest
from offerlake.windows import midnight


def scopes(offers: DataFrame, offer_products: DataFrame, products: DataFrame, *, as_of: date) -> DataFrame:
    """The products of each offer that is valid on the day and limited to categories, brands or products.

    Args:
        offers: The table `offers`, all versions.
        offer_products: The table `offer_products`.
        products: product_id, category, brand; one row a product.
        as_of: The UTC day.

    Returns:
        offer_id, product_id: distinct.
    """
    start = F.lit(midnight(as_of))
    valid = (
        newest(offers, key="offer_id", as_of=as_of)
        .where((F.col("scope") != "all") & (F.col("valid_from") <= start) & (F.col("valid_to") > start))
        .select("offer_id", "scope", "scope_values")
    )
    placed = products.select("product_id", levels(F.col("category")).alias("levels"), "brand")
    named = F.when(F.col("scope") == "category", F.arrays_overlap("scope_values", "levels")).when(
        F.col("scope") == "brand", F.array_contains("scope_values", F.col("brand"))
    )
    by_name = placed.crossJoin(F.broadcast(valid)).where(named).select("offer_id", "product_id")
    listed = offer_products.join(F.broadcast(valid.where(F.col("scope") == "products")), on="offer_id", how="left_semi")
    return by_name.unionByName(listed.select("offer_id", "product_id").distinct())


def products_shown(limit: int) -> Column:
    """The products shown with the chosen offer, best first: ids, none without an offer.

    Args:
        limit: Products at most.

    Of columns offer_id, scope (of the offer), items and scoped (of `candidates`).
    """
    best = F.transform("items", lambda item: item["product_id"])
    within = F.try_element_at("scoped", F.col("offer_id"))
    found = F.slice(F.when(F.col("scope") == "all", best).otherwise(within), 1, limit)
    return F.coalesce(F.when(F.col("offer_id").isNotNull(), found), F.array().cast("array<string>"))
