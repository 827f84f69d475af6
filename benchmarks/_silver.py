"""Silver tables of any size, drawn by key: what a shop's cleaned logs look like, without a shop behind them."""

from __future__ import annotations

from datetime import date, timedelta

from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F

from offerlake.randomness import uniform
from offerlake.schemas import table
from offerlake.tables import Lake

AS_OF = date(2026, 3, 1)
HISTORY_DAYS = 455  # so that the first of 90 days has its year
_EVENTS = ("view", "view", "add_to_cart", "search", "view", "offer_view", "offer_click", "view", "remove_from_cart")
_A_SESSION = 5  # events
_AN_ORDER = 2  # lines
_A_USER = 6  # exposures
_PRODUCTS, _CATEGORIES, _OFFERS = 20_000, 12, 8
_SEED = 1


def write_silver(spark: SparkSession, root: str, *, users: int, clicks: int, order_lines: int) -> None:
    """Writes all silver tables of a lake that has none: `clicks` events and `order_lines` lines of `users` users."""
    lake = Lake(spark, root)
    frames = {
        "clicks": _clicks(spark, clicks, users),
        "order_lines": _lines(spark, order_lines, users),
        "exposures": _exposures(spark, users),
        "redemptions": _redemptions(spark, users),
        "products": _products(spark),
        "users": spark.range(users).select(
            _id("u", F.col("id")).alias("user_id"), _moment(F.lit(0)).alias("arrived_at")
        ),
        "offers": _offers(spark),
        "offer_products": spark.createDataFrame([], table("offer_products").struct),
    }
    for name, frame in frames.items():
        lake.write(name, _filled(name, frame))


def _filled(name: str, frame: DataFrame) -> DataFrame:
    """What is not drawn is null, or empty where it may not be."""
    blank = {"attributes": F.create_map().cast("map<string,string>"), "scope_values": F.array().cast("array<string>")}
    missing = [column for column in table(name).columns if column.name not in frame.columns]
    given = {column.name: blank.get(column.name, F.lit(None).cast(column.type)) for column in missing}
    return table(name).select(frame.withColumns(given))


def _draw(purpose: str, key: Column, most: int) -> Column:
    """A number from 0 to most − 1."""
    return F.floor(uniform(_SEED, purpose, key) * most)


def _id(letter: str, number: Column) -> Column:
    return F.concat(F.lit(letter), number.cast("string"))


def _moment(seconds: Column) -> Column:
    """So many seconds after the history's first midnight."""
    start = AS_OF - timedelta(days=HISTORY_DAYS)
    return F.timestamp_seconds(F.unix_timestamp(F.lit(start).cast("timestamp")) + seconds)


def _arrived(key: Column, happened: Column) -> Column:
    """A minute later; of one in a hundred two days."""
    late = F.when(uniform(_SEED, "late", key) < 0.01, F.lit(2 * 86_400)).otherwise(F.lit(60))
    return F.timestamp_seconds(F.unix_timestamp(happened) + late)


def _clicks(spark: SparkSession, rows: int, users: int) -> DataFrame:
    session = F.floor(F.col("id") / _A_SESSION)
    at = _draw("visit", session, HISTORY_DAYS * 86_400 - 600) + (F.col("id") % _A_SESSION) * 60
    kind = F.element_at(F.lit([*_EVENTS]), (_draw("event", F.col("id"), len(_EVENTS)) + 1).cast("int"))
    happened = _moment(at)
    return spark.range(rows).select(
        _id("e", F.col("id")).alias("event_id"),
        _id("u", _draw("visitor", session, users)).alias("user_id"),
        _id("s", session).alias("session_id"),
        happened.alias("event_time"),
        _arrived(F.col("id"), happened).alias("arrived_at"),
        kind.alias("event_type"),
        F.when(kind.startswith("offer"), _id("o", _draw("offer", F.col("id"), _OFFERS))).alias("offer_id"),
        F.when(~kind.startswith("offer") & (kind != "search"), _product()).alias("product_id"),
        F.lit(True).alias("known_product"),
        F.to_date(happened).alias("event_date"),
    )


def _product() -> Column:
    return _id("p", _draw("product", F.col("id"), _PRODUCTS))


def _lines(spark: SparkSession, rows: int, users: int) -> DataFrame:
    order = F.floor(F.col("id") / _AN_ORDER)
    ordered = _moment(_draw("order", order, HISTORY_DAYS * 86_400))
    price = (_draw("price", F.col("id"), 5_000) + 100) / 100
    return spark.range(rows).select(
        _id("t", order).alias("order_id"),
        (F.col("id") % _AN_ORDER).cast("string").alias("line_id"),
        _id("u", _draw("buyer", order, users)).alias("user_id"),
        _product().alias("product_id"),
        ordered.alias("order_time"),
        _arrived(F.col("id"), ordered).alias("arrived_at"),
        F.lit(1).alias("quantity"),
        price.alias("unit_price"),
        F.lit(0).alias("discount"),
        price.alias("net_amount"),
        F.lit(True).alias("known_product"),
        F.to_date(ordered).alias("order_date"),
    )


def _exposures(spark: SparkSession, users: int) -> DataFrame:
    shown = _moment(_draw("shown", F.col("id"), HISTORY_DAYS) * 86_400)
    return spark.range(users * _A_USER).select(
        _id("x", F.col("id")).alias("exposure_id"),
        _id("u", F.col("id") % users).alias("user_id"),
        _id("o", _draw("sent", F.col("id"), _OFFERS)).alias("offer_id"),
        shown.alias("shown_at"),
        shown.alias("arrived_at"),
        F.lit("experiment").alias("policy"),
        F.to_date(shown).alias("shown_date"),
    )


def _redemptions(spark: SparkSession, users: int) -> DataFrame:
    used = _moment(_draw("used", F.col("id"), HISTORY_DAYS * 86_400))
    return spark.range(users).select(
        _id("r", F.col("id")).alias("redemption_id"),
        _id("u", F.col("id")).alias("user_id"),
        _id("o", _draw("which", F.col("id"), _OFFERS)).alias("offer_id"),
        used.alias("redeemed_at"),
        used.alias("arrived_at"),
        F.to_date(used).alias("redeemed_date"),
    )


def _products(spark: SparkSession) -> DataFrame:
    return spark.range(_PRODUCTS).select(
        _id("p", F.col("id")).alias("product_id"),
        _moment(F.lit(0)).alias("arrived_at"),
        _id("Category ", _draw("category", F.col("id"), _CATEGORIES)).alias("category"),
        _id("Brand ", _draw("brand", F.col("id"), 200)).alias("brand"),
        ((_draw("list", F.col("id"), 5_000) + 100) / 100).alias("price"),
    )


def _offers(spark: SparkSession) -> DataFrame:
    kinds = F.lit(["percent_off", "amount_off", "gift", "content"])
    return spark.range(_OFFERS).select(
        _id("o", F.col("id")).alias("offer_id"),
        _moment(F.lit(0)).alias("arrived_at"),
        F.element_at(kinds, (F.col("id") % 4 + 1).cast("int")).alias("kind"),
        F.lit(0.1).alias("depth"),
        F.lit("all").alias("scope"),
        _moment(F.lit(0)).alias("valid_from"),
        F.lit(AS_OF + timedelta(days=90)).cast("timestamp").alias("valid_to"),
    )
