"""Windows, exposures, orders with returns, redemptions: drawn by the structural model."""

from __future__ import annotations

from dataclasses import dataclass

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from offerlake.config import SimulateSettings
from offerlake.randomness import exponential, uniform
from offerlake.simulate import structure
from offerlake.simulate.baskets import LINES, PAIRS, RETURNED
from offerlake.simulate.calendar import DAY_MS, MINUTE_MS, ORDER_DAYS, RETURN_DAYS, Calendar, window_start
from offerlake.simulate.catalogue import per_category, price_cents
from offerlake.simulate.offers import OFFERS
from offerlake.simulate.traits import chosen_category, chosen_rank

CAMPAIGN_OFFER = next(place for place, offer in enumerate(OFFERS, start=1) if offer.offer_id == "PCT20")
LOOK_BACK_DAYS = 84
"""What the old rule counts orders in."""


@dataclass(frozen=True)
class Draws:
    """The seed and settings that every draw of a window needs."""

    settings: SimulateSettings
    calendar: Calendar

    def uniform(self, purpose: str, *more: Column) -> Column:
        """Uniform by user, window and more."""
        return uniform(self.settings.seed, purpose, F.col("number"), F.col("window"), *more)


def of_window(letter: str) -> Column:
    """The id of what happens once to a user in a window: a letter, the user's digits, the window."""
    return F.concat(F.lit(letter), F.substring("user_id", 2, 20), F.lit("-"), F.lpad("window", 3, "0"))


def windows(users: DataFrame, arms: DataFrame, draws: Draws) -> DataFrame:
    """Every user in every window but the campaign's, with the arm and whether an order follows.

    Args:
        users: Traits with liking, taste, and basket moments, by number.
        arms: `offers.arms`.
        draws: Settings and calendar.

    Returns:
        One row a user and window: number, user_id, is_bot, window, window_ms (its begin), arm, propensity (null outside
        the experiment), ordered (boolean).
    """
    control, number = draws.settings.control_share, len(OFFERS)
    place = (draws.uniform("arm") - control) / (1 - control) * number
    arm = F.when(place < 0, F.lit(0)).otherwise(F.least(F.floor(place).cast("int") + 1, F.lit(number)))
    in_experiment = (F.col("window") >= draws.calendar.warmup) & (F.col("window") < draws.calendar.campaign)
    propensity = F.when(F.col("arm") == 0, F.lit(control)).otherwise(F.lit((1 - control) / number))
    campaign_window = draws.calendar.campaign
    all_but_it = [F.lit(window) for window in range(campaign_window + 2) if window != campaign_window]
    frame = users.select("*", F.explode(F.array(*all_but_it)).alias("window"))
    return _ordered(
        frame.withColumn("arm", F.when(in_experiment, arm).otherwise(0)).withColumn(
            "propensity", F.when(in_experiment, propensity)
        ),
        arms,
        draws,
    )


def _ordered(frame: DataFrame, arms: DataFrame, draws: Draws) -> DataFrame:
    probability = structure.order_probability(draws.settings.effects)
    start = window_start(draws.calendar, draws.settings.seed, F.col("number"), F.col("window"))
    return frame.join(F.broadcast(arms), "arm", how="inner").select(
        "number",
        "user_id",
        "is_bot",
        "window",
        start.alias("window_ms"),
        "arm",
        "propensity",
        (draws.uniform("order") < probability).alias("ordered"),
    )


def campaign(users: DataFrame, arms: DataFrame, earlier: DataFrame, draws: Draws) -> DataFrame:
    """The old rule's campaign: 20 % off to the share of users with the most orders in the 84 days before.

    Ties are cut by a draw. The cut is found from a histogram of order counts: nothing as large as the users is sorted.

    Args:
        users: As in `windows`.
        arms: `offers.arms`.
        earlier: `windows`.
        draws: Settings and calendar.

    Returns:
        As `windows`, one row a user; propensity is 1.
    """
    calendar, seed = draws.calendar, draws.settings.seed
    first = calendar.campaign - LOOK_BACK_DAYS // calendar.round_days
    counts = (
        earlier.where(F.col("ordered") & (F.col("window") >= first) & ~F.col("is_bot"))
        .groupBy("number")
        .agg(F.count("*").alias("orders"))
    )
    ranked = users.join(counts, "number", how="left").withColumn("orders", F.coalesce("orders", F.lit(0)))
    histogram = ranked.where(~F.col("is_bot")).groupBy("orders").count().orderBy(F.desc("orders")).collect()
    wanted = draws.settings.old_rule_share * sum(int(row["count"]) for row in histogram)
    cut, share = -1, 0.0
    for row in histogram:
        if wanted < row["count"]:
            cut, share = int(row["orders"]), wanted / row["count"]
            break
        wanted -= row["count"]
    tie = (F.col("orders") == cut) & (uniform(seed, "old rule", F.col("number")) < share)
    chosen = ((F.col("orders") > cut) | tie) & ~F.col("is_bot")
    return _ordered(
        ranked.withColumn("window", F.lit(calendar.campaign))
        .withColumn("arm", F.when(chosen, F.lit(CAMPAIGN_OFFER)).otherwise(0))
        .withColumn("propensity", F.lit(1.0)),
        arms,
        draws,
    )


def orders(frame: DataFrame, users: DataFrame, arms: DataFrame, draws: Draws) -> DataFrame:
    """The orders of `windows`, each with its lines.

    Args:
        frame: `windows` and `campaign`.
        users: Traits with liking and taste, by number.
        arms: `offers.arms`.
        draws: Settings and calendar.

    Returns:
        number, user_id, window, order_ms, arm, the offer's columns, lines (array of line number, category, rank, units,
        cents), gross (cents before discounts), used (boolean).
    """
    size = per_category(draws.settings.products)
    steps = [sum(LINES[: k + 1]) for k in range(len(LINES) - 1)]
    number_of_lines = F.lit(1)
    for step in steps:
        number_of_lines = number_of_lines + (draws.uniform("lines") > step).cast("int")
    lag = F.lit(10 * MINUTE_MS) + F.pow(draws.uniform("lag"), 1.3) * ((ORDER_DAYS - 0.5) * DAY_MS - 10 * MINUTE_MS)

    def line(index: Column) -> Column:
        category = chosen_category(F.col("taste"), draws.uniform("line category", index))
        rank = chosen_rank(F.col("price_level"), draws.uniform("line rank", index), size)
        units = F.when(draws.uniform("line units", index) < PAIRS, 2).otherwise(1)
        return F.struct(
            index.alias("line"),
            category.alias("category"),
            rank.alias("rank"),
            units.alias("units"),
            (price_cents(category, rank, size) * units).alias("cents"),
        )

    def total(lines: Column) -> Column:
        return F.aggregate(lines, F.lit(0).cast("bigint"), lambda sum_, item: sum_ + item["cents"])

    scoped = F.filter("lines", lambda item: (F.col("scope_index") < 0) | (item["category"] == F.col("scope_index")))
    willing = draws.uniform("use") < structure.use_probability()
    people = users.select("number", "price_level", "taste", "liking")
    return (
        frame.where("ordered")
        .join(people, "number", how="inner")
        .join(F.broadcast(arms), "arm", how="inner")
        .withColumn("order_ms", F.col("window_ms") + lag.cast("bigint"))
        .withColumn("lines", F.transform(F.sequence(F.lit(1), number_of_lines), line))
        .withColumn("gross", total(F.col("lines")))
        .withColumn("in_scope", total(scoped))
        .withColumn("used", willing & (F.col("gross") >= F.col("min_cents")) & (F.col("in_scope") > 0))
        .select(
            "number", "user_id", "window", "order_ms", "arm", "offer_id", "kind_index", "scope_index", "percent",
            "amount_cents", "lines", "gross", "used",
        )
    )  # fmt: skip


def order_lines(made: DataFrame, draws: Draws) -> DataFrame:
    """The lines of `orders`, and their returns.

    Returns:
        number, user_id, window, order_id, line_id, category, rank, order_ms, arrived_ms, quantity (negative for a
        return), unit_price_tenths (tenths of a cent before discounts; of a return: what was paid for a unit),
        discount_cents, net_cents, offer_id (null where none was used on the line).
    """
    line = F.col("line")
    inside = F.col("used") & ((F.col("scope_index") < 0) | (line["category"] == F.col("scope_index")))
    # The amount is spread over the lines by running totals, so that the parts add up to it exactly.
    before = F.aggregate(
        F.filter("lines", lambda item: item["line"] < line["line"]),
        F.lit(0).cast("bigint"),
        lambda s, item: s + item["cents"],
    )
    upto = F.floor(F.col("amount_cents") * (before + line["cents"]) / F.col("gross"))
    amount = upto - F.floor(F.col("amount_cents") * before / F.col("gross"))
    percent = F.round(F.col("percent") * line["cents"]).cast("bigint")
    bought = (
        made.select("*", F.explode("lines").alias("line"))
        .withColumn("discount_cents", F.when(inside, percent + amount).otherwise(0).cast("bigint"))
        .select(
            "number", "user_id", "window",
            of_window("O").alias("order_id"),
            line["line"].cast("string").alias("line_id"),
            line["category"].alias("category"),
            line["rank"].alias("rank"),
            F.col("order_ms"),
            line["units"].alias("quantity"),
            (line["cents"] * 10 / line["units"]).cast("bigint").alias("unit_price_tenths"),
            "discount_cents",
            (line["cents"] - F.col("discount_cents")).alias("net_cents"),
            F.when(inside & (F.col("kind_index") >= 0), F.col("offer_id")).alias("offer_id"),
        )
    )  # fmt: skip
    back = draws.uniform("returned", F.col("line_id")) < RETURNED
    delay = (DAY_MS * (1 + (RETURN_DAYS - 1) * draws.uniform("return delay", F.col("line_id")))).cast("bigint")
    lag = exponential(draws.settings.seed, "order arrival", F.col("order_id"), F.col("is_return")) * (3 * MINUTE_MS)
    returned = F.col("is_return") == 1
    once, twice = F.array(F.lit(0)), F.array(F.lit(0), F.lit(1))
    return (
        bought.select("*", F.explode(F.when(back, twice).otherwise(once)).alias("is_return"))
        .withColumn("order_ms", F.when(returned, F.col("order_ms") + delay).otherwise(F.col("order_ms")))
        .where(F.col("order_ms") < draws.calendar.end_ms)
        .select(
            "number", "user_id", "window", "order_id",
            F.when(returned, F.concat("line_id", F.lit("R"))).otherwise(F.col("line_id")).alias("line_id"),
            "category", "rank", "order_ms",
            (F.col("order_ms") + F.least(lag.cast("bigint"), F.lit(60 * MINUTE_MS))).alias("arrived_ms"),
            F.when(returned, -F.col("quantity")).otherwise(F.col("quantity")).alias("quantity"),
            F.when(returned, (F.col("net_cents") * 10 / F.col("quantity")).cast("bigint"))
            .otherwise(F.col("unit_price_tenths"))
            .alias("unit_price_tenths"),
            F.when(returned, 0).otherwise(F.col("discount_cents")).alias("discount_cents"),
            F.when(returned, -F.col("net_cents")).otherwise(F.col("net_cents")).alias("net_cents"),
            "offer_id",
        )
    )  # fmt: skip
