"""What a product was on a day: its place in the catalogue and its place among the prices."""

from __future__ import annotations

from datetime import date

from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F

from offerlake.categories import top_category
from offerlake.features.clocks import counts_from, valid_on, versions

POSITION_UNIT = 1_000_000
"""Price positions are summed as whole millionths."""


def known_products(products: DataFrame, *, as_of: date) -> DataFrame:
    """The newest version of each product that was known on a day.

    Args:
        products: The silver table.
        as_of: The day.

    Returns:
        product_id, name, description, category, brand, price, stock; one row a product.
    """
    columns = ["name", "description", "category", "brand", "price", "stock"]
    dated = versions(products, "product_id", columns).where(valid_on(F.lit(as_of)))
    return dated.select("product_id", *columns)


def price_position(category: Column, price: Column, *also: Column) -> Column:
    """Share of the other priced products of the same category that are cheaper, 0 to 1 (a window expression).

    Args:
        category: What is compared with each other.
        price: Rows without one are neither ranked nor counted.
        also: Further columns within whose values it is ranked, such as a month.
    """
    among = Window.partitionBy(*also, category, price.isNull()).orderBy(price)
    return F.when(price.isNotNull(), F.percent_rank().over(among))


def month_of(day: str) -> Column:
    """The first day of a date's month, as `month`."""
    return F.trunc(F.col(day), "month").alias("month")


def monthly_positions(products: DataFrame, months: DataFrame) -> DataFrame:
    """The price list on the first day of each month.

    A view or purchase is placed by the list of its month, so that its place does not change later and no product
    has to be ranked for every day.

    Args:
        products: The silver table.
        months: month (date), unique.

    Returns:
        product_id, month (date), position (bigint, millionths); products with a list price only.
    """
    dated = versions(products.withColumn("top", top_category(F.col("category"))), "product_id", ["top", "price"])
    monthly = dated.where(F.col("price").isNotNull()).crossJoin(F.broadcast(months)).where(valid_on(F.col("month")))
    place = F.round(price_position(F.col("top"), F.col("price"), F.col("month")) * POSITION_UNIT).cast("bigint")
    return monthly.select("product_id", "month", place.alias("position"))


def with_position(rows: DataFrame, positions: DataFrame) -> DataFrame:
    """Adds `position` (bigint?) to rows with `product_id` and the date `event_day`."""
    return rows.select("*", month_of("event_day")).join(positions, on=["product_id", "month"], how="left").drop("month")


def signs(clicks: DataFrame, order_lines: DataFrame) -> DataFrame:
    """What users were interested in: product views and bought order lines, one row each.

    Returns:
        user_id, product_id, event_time, event_day, since (see `clocks.counts_from`), bought (boolean),
        units (int; 0 for a view).
    """
    views = clicks.where(
        (F.col("event_type") == "view") & F.col("user_id").isNotNull() & F.col("product_id").isNotNull()
    )
    bought = order_lines.where(F.col("quantity") > 0)
    seen = views.select(
        "user_id",
        "product_id",
        "event_time",
        F.col("event_date").alias("event_day"),
        counts_from(F.col("event_time"), F.col("arrived_at")).alias("since"),
        F.lit(False).alias("bought"),
        F.lit(0).alias("units"),
    )
    return seen.unionByName(
        bought.select(
            "user_id",
            "product_id",
            F.col("order_time").alias("event_time"),
            F.col("order_date").alias("event_day"),
            counts_from(F.col("order_time"), F.col("arrived_at")).alias("since"),
            F.lit(True).alias("bought"),
            F.col("quantity").alias("units"),
        )
    )
