"""Raw records of any size, drawn by key: what a shop's logs look like before anybody has cleaned them.

They are written as what `ingest` makes of files: the tables of bronze, Parquet of strings. Known dirt is in them: the
same record twice, other content under the same key, times and numbers that are none, products and users that nobody
knows, machines that click, returns of what was never bought, clocks that are wrong, arrivals two days late, and orders
weeks late.
"""

from __future__ import annotations

from collections.abc import Callable

import _raw_logs as logs
from _raw_records import DAY, OFFERS, PRODUCTS, SPAN, Dirt, cents, chance, draw, money, named, records, twice
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from offerlake.schemas.silver import OFFER_KINDS
from offerlake.tables import Lake

CLICKS_A_USER = 100
_CATEGORIES, _BRANDS = 12, 200


def write_raw(spark: SparkSession, root: str, *, clicks: int, order_lines: int) -> None:
    """Writes bronze of a lake that has none.

    Args:
        spark: The session.
        root: The lake.
        clicks: Events; one in CLICKS_A_USER is the number of users.
        order_lines: Bought lines; returns come on top, and so do copies in all feeds.
    """
    users = max(1, clicks // CLICKS_A_USER)
    made: dict[str, Callable[[], DataFrame]] = {
        "clicks": lambda: logs.clicks(spark, clicks, users),
        "orders": lambda: logs.orders(spark, order_lines, users),
        "exposures": lambda: logs.exposures(spark, users),
        "redemptions": lambda: logs.redemptions(spark, users),
        "products": lambda: _products(spark),
        "users": lambda: _users(spark, users),
        "offers": lambda: _offers(spark),
    }
    lake = Lake(spark, root)
    for feed, make in made.items():
        lake.write(f"raw_{feed}", make())


def _products(spark: SparkSession) -> DataFrame:
    """The catalogue; one in ten products changes its category and its price one day."""
    both = twice(spark.range(PRODUCTS), PRODUCTS, "moved", share=0.1)
    key, of = F.col("id"), F.col("of")
    price = F.when(F.col("moved"), draw("new price", 5_000, of) + 100).otherwise(cents(named("p", of)))
    category = named("Category ", draw("category", _CATEGORIES, key))
    made = both.select(
        key,
        named("p", of).alias("product_id"),
        F.when(F.col("moved"), draw("moved at", SPAN, of)).otherwise(-DAY).alias("arrived_at"),
        named("Product ", of).alias("name"),
        F.concat_ws(" > ", category, named("Shelf ", draw("shelf", 20, key))).alias("category"),
        F.when(~chance("no brand", 0.05, of), named("Brand ", draw("brand", _BRANDS, of))).alias("brand"),
        money(price).alias("price"),
        money(F.floor(price * 0.6)).alias("unit_cost"),
        named("What there is to say of the product with the number ", of).alias("description"),
    )
    dirt = Dirt(changed={"price": F.lit("9.99")}, broken={"price": "ask us"})
    return records("products", made, dirt)


def _users(spark: SparkSession, users: int) -> DataFrame:
    """Those who sign up, some before the history begins and few after it; one in ten moves one day."""
    both = twice(spark.range(users), users, "moved", share=0.1)
    key, of = F.col("id"), F.col("of")
    signup = draw("signup", SPAN + 60 * DAY, of) - 50 * DAY
    bands, genders = F.lit(["18-24", "25-34", "35-49", "50-64", "65+"]), F.lit(["f", "m", "d"])
    made = both.select(
        key,
        named("u", of).alias("user_id"),
        (signup + F.when(F.col("moved"), draw("moved at", 100 * DAY, of)).otherwise(0)).alias("arrived_at"),
        signup.alias("signup_time"),
        F.element_at(genders, (draw("gender", 3, of) + 1).cast("int")).alias("gender"),
        F.when(~chance("no age", 0.2, of), F.element_at(bands, (draw("age", 5, of) + 1).cast("int"))).alias("age_band"),
        named("Region ", draw("region", 16, key)).alias("region"),
        F.when(~chance("silent", 0.1, of), chance("consent", 0.8, of)).alias("consent_marketing"),
        F.lit("yes").alias("consent_profiling"),
    )
    return records("users", made, Dirt(changed={"region": F.lit("Elsewhere")}, broken={"signup_time": "long ago"}))


def _offers(spark: SparkSession) -> DataFrame:
    """Two of each kind, always valid; what they take off changes one day. Too few for dirt."""
    both = twice(spark.range(OFFERS), OFFERS, "changed", share=1)
    key, of = F.col("id"), F.col("of")
    kind = F.element_at(F.lit([*OFFER_KINDS]), (of % len(OFFER_KINDS) + 1).cast("int"))
    off = (key % 7 + 1) * 5
    made = both.select(
        key,
        named("o", of).alias("offer_id"),
        F.when(F.col("changed"), draw("changed at", SPAN // 2, of) + SPAN // 2).otherwise(-DAY).alias("arrived_at"),
        kind.alias("kind"),
        F.when(kind == "percent_off", money(off)).otherwise(off.cast("string")).alias("depth"),
        F.lit("all").alias("scope"),
        F.lit("email|app").alias("channels"),
        F.lit(-DAY).alias("valid_from"),
        F.lit(SPAN + 90 * DAY).alias("valid_to"),
    )
    return records("offers", made)
