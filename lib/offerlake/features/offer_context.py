"""What an offer is to a user: the OFFER_CONTEXT_COLUMNS, the same for examples and for scoring."""

from __future__ import annotations

from collections.abc import Sequence

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from offerlake.categories import levels
from offerlake.features.catalogue import signs
from offerlake.features.clocks import days_since, valid_on, versions, with_version
from offerlake.features.windowed import YEAR
from offerlake.schemas.gold import OFFER_CONTEXT_COLUMNS
from offerlake.schemas.silver import OFFER_KINDS

_PAIR = ("as_of", "user_id", "offer_id")
OF_USER = (
    "typical_order_value", "units_364d", "signs_364d", "order_recency_days",
    *[f"click_rate_{kind}" for kind in OFFER_KINDS],
)  # fmt: skip
"""Of the USER_FEATURE_COLUMNS, those that go into an offer's context."""


def offer_context(
    pairs: DataFrame,
    *,
    offers: DataFrame,
    offer_products: DataFrame,
    products: DataFrame,
    clicks: DataFrame,
    order_lines: DataFrame,
) -> DataFrame:
    """Adds the OFFER_CONTEXT_COLUMNS to pairs of user and offer.

    Args:
        pairs: as_of, user_id, offer_id (null: nothing), channel (null: unknown) and `OF_USER` of that user and day;
            further columns are kept, pairs may repeat.
        offers: Silver, whole; the version known as of each pair's day counts.
        offer_products: Silver, whole.
        products: Silver, whole; categories and brands as of each pair's day.
        clicks: Silver, whole.
        order_lines: Silver, whole.

    Returns:
        pairs, one row for each, with OFFER_CONTEXT_COLUMNS.
    """
    history = scope_history(
        pairs.select(*_PAIR),
        offers=offers,
        offer_products=offer_products,
        products=products,
        clicks=clicks,
        order_lines=order_lines,
    )
    return with_context(with_terms(pairs, history, offers=offers), pairs.columns)


def scope_history(
    pairs: DataFrame,
    *,
    offers: DataFrame,
    offer_products: DataFrame,
    products: DataFrame,
    clicks: DataFrame,
    order_lines: DataFrame,
) -> DataFrame:
    """What each user had seen and bought of what is in scope of the offer, in 364 days.

    Signs are joined with the products of each scope first and with the wanted users and scopes then, so no row of
    user × offer × product is ever made that has no sign in it.

    Args:
        pairs: as_of, user_id, offer_id; pairs without an offer or with one for everything are left out.
        offers: Silver, whole; the version known as of each pair's day counts.
        offer_products: Silver, whole.
        products: Silver, whole; categories and brands as of each pair's day.
        clicks: Silver, whole.
        order_lines: Silver, whole.

    Returns:
        as_of, user_id, offer_id, scope_size, scope_signs, scope_units, scope_products (bigint?), scope_last
        (timestamp?); unique; null where there is no sign.
    """
    # Offers for everything are left out before anything is made distinct: they are most of the pairs.
    dated = versions(offers.withColumn("scope_id", _scope_id()), "offer_id", ["scope_id"])
    of_parts = dated.where(F.col("scope_id").isNotNull())
    scoped = with_version(pairs, of_parts, "offer_id", day="as_of", how="inner").distinct()
    members = _members(offers, offer_products, products)
    signed = signs(clicks, order_lines).join(members, on="product_id", how="inner")
    found = (
        scoped.select("as_of", "user_id", "scope_id")
        .distinct()
        .join(signed, on=["user_id", "scope_id"], how="inner")
        .where(
            (F.col("as_of") >= F.col("since"))
            & (F.col("as_of") <= F.date_add("event_day", YEAR))
            & valid_on(F.col("as_of"))
        )
        .groupBy("as_of", "user_id", "scope_id")
        .agg(
            F.count("event_day").alias("scope_signs"),
            F.sum("units").alias("scope_units"),
            F.count_distinct(F.when(F.col("bought"), F.col("product_id"))).alias("scope_products"),
            F.max(F.when(F.col("bought"), F.col("event_time"))).alias("scope_last"),
        )
    )
    sizes = (
        scoped.select("as_of", "scope_id")
        .distinct()
        .join(members, on="scope_id", how="inner")
        .where(valid_on(F.col("as_of")))
        .groupBy("as_of", "scope_id")
        .agg(F.count("product_id").alias("scope_size"))
    )
    return (
        scoped.join(F.broadcast(sizes), on=["as_of", "scope_id"], how="left")
        .join(found, on=["as_of", "user_id", "scope_id"], how="left")
        .drop("scope_id")
    )


def with_terms(pairs: DataFrame, history: DataFrame, *, offers: DataFrame) -> DataFrame:
    """Adds what `with_context` reads of the offer, and of the user's history with its scope.

    Args:
        pairs: as_of, user_id, offer_id, and columns of their own: few, for they are shuffled.
        history: What `scope_history` gives.
        offers: Silver, whole; the version known as of each pair's day counts.
    """
    terms = versions(
        offers.withColumn("scoped", F.col("scope") != "all"),
        "offer_id",
        ["kind", "campaign_type", "depth", "min_spend", "cost_per_redemption", "scoped"],
    )
    return with_version(pairs, terms, "offer_id", day="as_of").join(history, on=list(_PAIR), how="left")


def with_context(told: DataFrame, kept: Sequence[str]) -> DataFrame:
    """Puts the columns together: of rows with `with_terms` and `OF_USER`, those `kept` and OFFER_CONTEXT_COLUMNS."""
    columns = _columns()
    made = {column.name: column.type for column in OFFER_CONTEXT_COLUMNS if column.name != "channel"}
    return told.select(*kept, *[columns[name].cast(type_).alias(name) for name, type_ in made.items()])


def _scope_id() -> Column:
    """A name of what is in scope, the same for offers with the same scope; null for everything."""
    values = F.array_join(F.array_sort("scope_values"), "\n")
    return F.when(F.col("scope") == "products", F.concat(F.lit("products\n"), F.col("offer_id"))).when(
        F.col("scope") != "all", F.concat("scope", F.lit("\n"), values)
    )


def _members(offers: DataFrame, offer_products: DataFrame, products: DataFrame) -> DataFrame:
    """The products of each scope: scope_id, product_id, known_from, known_to; a product once at any time."""
    scopes = offers.withColumn("scope_id", _scope_id())
    valued = scopes.where(F.col("scope").isin("category", "brand")).select(
        "scope_id", "scope", F.explode("scope_values").alias("value")
    )
    listed = scopes.where(F.col("scope") == "products").select("scope_id", "offer_id").distinct()
    dated = versions(products, "product_id", ["category", "brand"])
    span = ["product_id", "known_from", "known_to"]
    places = F.explode(levels(F.col("category"))).alias("value")
    in_category = dated.select(*span, F.lit("category").alias("scope"), places)
    in_brand = dated.select(*span, F.lit("brand").alias("scope"), F.col("brand").alias("value"))
    by_value = in_category.unionByName(in_brand).join(
        F.broadcast(valued.distinct()), on=["scope", "value"], how="inner"
    )
    first_known = dated.groupBy("product_id").agg(F.min("known_from").alias("known_from"))
    by_list = (
        listed.join(offer_products.select("offer_id", "product_id").distinct(), on="offer_id", how="inner")
        .join(first_known, on="product_id", how="inner")
        .withColumn("known_to", F.lit(None).cast("date"))
    )
    columns = ["scope_id", *span]
    return by_value.select(*columns).distinct().unionByName(by_list.select(*columns))


def _columns() -> dict[str, Column]:
    everything = F.col("scoped").eqNullSafe(F.lit(False))
    scoped = F.col("scoped").eqNullSafe(F.lit(True))
    liking = F.lit(None).cast("double")
    for kind in OFFER_KINDS:
        liking = F.when(F.col("kind") == kind, F.col(f"click_rate_{kind}")).otherwise(liking)
    basket = F.greatest(F.col("min_spend").cast("double"), F.col("typical_order_value"))
    rate = F.when(F.col("kind") == "percent_off", F.col("depth")).when(
        F.col("kind") == "amount_off", F.try_divide(F.col("depth"), basket)
    )
    units = F.when(everything, F.col("units_364d")).otherwise(_or_zero(F.col("scope_units")))
    share = F.when(everything, F.lit(1.0)).otherwise(F.try_divide(F.col("scope_signs"), F.col("signs_364d")))
    recency = F.when(everything, F.col("order_recency_days")).otherwise(days_since(F.col("scope_last"), F.col("as_of")))
    return {
        "kind": F.coalesce(F.col("kind"), F.lit("none")),
        "campaign_type": F.col("campaign_type"),
        "depth": F.col("depth"),
        "discount_rate": F.least(F.lit(1.0), F.greatest(F.lit(0.0), _or_zero(rate))),
        "min_spend": _or_zero(F.col("min_spend")),
        "fixed_cost": _or_zero(F.col("cost_per_redemption")),
        "scoped": scoped.cast("int"),
        "kind_affinity": _or_zero(liking),
        "scope_affinity": _or_zero(share),
        "scope_size": _or_zero(F.col("scope_size")),
        "scope_units_364d": units,
        "scope_unit_share_364d": _or_zero(F.try_divide(units, F.col("units_364d"))),
        "scope_products_364d": _or_zero(F.col("scope_products")),
        "scope_recency_days": F.when(recency <= YEAR, recency),
    }


def _or_zero(value: Column) -> Column:
    return F.coalesce(value, F.lit(0))
