"""Bots: visitors that read the catalogue through, one page a second, a third of them with an account."""

from __future__ import annotations

from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F

from offerlake.config import SimulateSettings
from offerlake.randomness import draw, uniform
from offerlake.simulate.calendar import DAY_MS, Calendar
from offerlake.simulate.catalogue import CATEGORIES, money, per_category, price_cents, product_id
from offerlake.simulate.clicks import RAW
from offerlake.simulate.traits import user_key

RUN_DAYS = 14
"""A bot comes once in this many days."""
RUN_VIEWS = 80
RUN_STEP_MS = 1_000


def bot_count(settings: SimulateSettings) -> int:
    """Bots in all."""
    return round(settings.users * settings.bots)


def account_count(settings: SimulateSettings) -> int:
    """Bots that have an account: numbers from `users` on."""
    return bot_count(settings) // 3


def bots(spark: SparkSession, settings: SimulateSettings) -> DataFrame:
    """The bots.

    Returns:
        bot (int from 0), user_id (null: without an account), anonymous_id (null: with one).
    """
    accounts = account_count(settings)
    bot = F.col("id").cast("int")
    browser = F.concat(F.lit("V"), F.lower(F.lpad(F.hex(draw(settings.seed, "bot browser", bot)), 16, "0")))
    return spark.range(bot_count(settings)).select(
        bot.alias("bot"),
        F.when(bot < accounts, user_key(bot + F.lit(settings.users))).alias("user_id"),
        F.when(bot >= accounts, browser).alias("anonymous_id"),
    )


def bot_clicks(made: DataFrame, settings: SimulateSettings, calendar: Calendar) -> DataFrame:
    """Their page views: 80 a run at exactly one a second, columns `clicks.RAW`."""
    size = per_category(settings.products)
    bot, run, step = F.col("bot"), F.col("run"), F.col("step")

    def own(purpose: str) -> Column:
        return uniform(settings.seed, f"bot:{purpose}", bot, run)

    day = run * RUN_DAYS + F.floor(own("day") * RUN_DAYS).cast("int")
    started = F.lit(calendar.start_ms) + day.cast("bigint") * DAY_MS + (own("hour") * 23 * 3_600_000).cast("bigint")
    first = F.floor(own("first") * size * len(CATEGORIES)).cast("int")
    product = (first + step) % (size * len(CATEGORIES))
    category, rank = F.floor(product / size).cast("int"), product % size
    at_ms = started + step * RUN_STEP_MS
    runs = calendar.days // RUN_DAYS
    nothing = F.lit(None).cast("string")
    return (
        made.select("*", F.explode(F.sequence(F.lit(0), F.lit(runs - 1))).alias("run"))
        .select("*", F.explode(F.sequence(F.lit(0), F.lit(RUN_VIEWS - 1))).alias("step"))
        .select(
            F.lower(F.lpad(F.hex(draw(settings.seed, "bot event", bot, run, step)), 16, "0")).alias("id"),
            F.col("user_id").alias("user"),
            F.col("anonymous_id").alias("visitor"),
            F.lower(F.lpad(F.hex(draw(settings.seed, "bot session", bot, run)), 16, "0")).alias("session"),
            at_ms.cast("bigint").alias("at_ms"),
            (at_ms + 2_000).cast("bigint").alias("arrived_ms"),
            F.lit("pageview").alias("type"),
            product_id(category, rank, size).alias("product_id"),
            nothing.alias("offer_id"),
            nothing.alias("query"),
            money(price_cents(category, rank, size)).alias("price"),
            F.lit(None).cast("int").alias("quantity"),
            F.lit("web").alias("channel"),
            F.lit("desktop").alias("device"),
            F.lit("direct").alias("referrer"),
        )
        .select(*RAW)
    )
