"""`product_features`: what is known of a product as of a day."""

from __future__ import annotations

from datetime import date

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from offerlake.categories import top_category
from offerlake.config import FeatureSettings
from offerlake.features.catalogue import price_position
from offerlake.features.clocks import MONEY_UNIT, versions, whole_money, with_version
from offerlake.schemas.gold import PRODUCT_FEATURES
from offerlake.windows import in_window, known_before


def product_features(
    as_of: date, *, products: DataFrame, clicks: DataFrame, order_lines: DataFrame, settings: FeatureSettings
) -> DataFrame:
    """The table `product_features` for one day: a row for every product of `products`."""
    day = F.lit(as_of)
    known = with_version(
        products.select("product_id").distinct().withColumn("as_of", day),
        versions(products, "product_id", ["category", "brand", "price", "unit_cost"]),
        "product_id",
        day="as_of",
    )
    priced = (
        known.withColumn("top_category", top_category(F.col("category")))
        .join(_sales(as_of, order_lines), on="product_id", how="left")
        .join(_views(as_of, clicks), on="product_id", how="left")
        .withColumn("price", F.coalesce(F.col("price").cast("double"), F.col("paid")))
        .withColumn(
            "unit_cost",
            F.coalesce(F.col("unit_cost").cast("double"), F.col("price") * F.lit(1 - settings.margin_rate)),
        )
        .withColumn("price_position", price_position(F.col("top_category"), F.col("price")))
    )
    counts = ["views_28d", "buyers_28d", "buyers_364d", "units_364d"]
    return PRODUCT_FEATURES.select(priced.fillna(0, subset=counts))


def _sales(as_of: date, order_lines: DataFrame) -> DataFrame:
    start = F.lit(as_of).cast("timestamp")
    recent = order_lines.where(
        known_before(start, happened=F.col("order_time"), arrived=F.col("arrived_at"))
        & in_window(F.col("order_time"), end=start, days=364)
    )
    bought = F.col("quantity") > 0
    last_weeks = in_window(F.col("order_time"), end=start, days=28)
    gross = F.sum(F.when(bought, whole_money(F.col("unit_price")) * F.col("quantity"))) / F.lit(MONEY_UNIT)
    return recent.groupBy("product_id").agg(
        F.count_distinct(F.when(bought & last_weeks, F.col("user_id"))).alias("buyers_28d"),
        F.count_distinct(F.when(bought, F.col("user_id"))).alias("buyers_364d"),
        F.sum("quantity").alias("units_364d"),
        F.try_divide(gross, F.sum(F.when(bought, F.col("quantity")))).alias("paid"),
    )


def _views(as_of: date, clicks: DataFrame) -> DataFrame:
    start = F.lit(as_of).cast("timestamp")
    return (
        clicks.where(
            (F.col("event_type") == "view")
            & F.col("product_id").isNotNull()
            & known_before(start, happened=F.col("event_time"), arrived=F.col("arrived_at"))
            & in_window(F.col("event_time"), end=start, days=28)
        )
        .groupBy("product_id")
        .agg(F.count("event_id").alias("views_28d"))
    )
