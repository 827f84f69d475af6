"""Who the users are: hidden traits that drive outcomes, and habits, their noisy shadows that drive browsing.

All traits are standard normal scores unless said otherwise. A habit is `√ρ · trait + √(1 − ρ) · own noise`, so that
behaviour, however much of it there is, tells at most the share ρ of a trait's variance.
"""

from __future__ import annotations

import math

from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F

from offerlake.randomness import normal, uniform
from offerlake.simulate.catalogue import CATEGORIES, pick
from offerlake.simulate.offers import KINDS

NEED_TO_SENSITIVITY = -0.5
"""Correlation: who orders anyway looks less at prices."""
NEED_TO_AVERSION = 0.5
"""Correlation: who orders anyway is sooner annoyed by messages."""
SENSITIVITY_TO_LEVEL = -0.90
"""Correlation: the price-sensitive buy cheaper products."""
SHARED = {"visits": 0.70, "need": 0.90, "aversion": 0.92, "liking": 0.90, "taste": 0.92}
"""ρ of each habit: its squared correlation with the trait."""

BASE_MEDIAN, BASE_SPREAD = 0.033, 0.61
"""P(order in a window | nothing) = 0.033 · exp(0.61 · need), at most 0.2: mean 4 %, 5th to 95th percentile 1 to 9 %."""
LEVELS = 21
"""Steps of the price level: from −2.5 to 2.5 in quarters."""
LEVEL_STEEPNESS = 0.8
"""A product's rank in its category is n · U^exp(−0.8 · level)."""


def user_key(number: Column) -> Column:
    """The id of a user: `U` and seven digits."""
    return F.concat(F.lit("U"), F.lpad(number.cast("string"), 7, "0"))


def traits(spark: SparkSession, *, users: int, bots: int, seed: int) -> DataFrame:
    """One row per account: `users` people, then `bots` accounts of bots.

    Returns:
        number (bigint), user_id, is_bot; the traits need, price_sensitivity, contact_aversion, liking_<kind>,
        taste_<category> (share of the user's choices, sums to 1); base_rate; the habits visit_habit, need_habit,
        aversion_habit, liking_habit (array by kind), browse (array by category: share of views); price_level (int, 0 to
        20).
    """
    number = F.col("number")

    def score(purpose: str) -> Column:
        return normal(seed, f"trait:{purpose}", number)

    def mixed(first: Column, share: float, purpose: str) -> Column:
        """√share · first + √(1 − share) · own; a negative share turns the sign of the correlation."""
        sign = math.copysign(1.0, share)
        return F.lit(sign * math.sqrt(abs(share))) * first + F.lit(math.sqrt(1 - abs(share))) * score(purpose)

    def correlated(first: Column, correlation: float, purpose: str) -> Column:
        return mixed(first, math.copysign(correlation**2, correlation), purpose)

    likings = F.array(*[F.col(f"liking_{kind}") for kind in KINDS])
    tastes = F.array(*[F.col(f"taste_score_{place}") for place in range(len(CATEGORIES))])
    made = F.col("id")
    return (
        spark.range(users + bots)
        .select(made.alias("number"), user_key(made).alias("user_id"), (made >= users).alias("is_bot"))
        .select("*", score("need").alias("need"))
        .select(
            "*",
            correlated(F.col("need"), NEED_TO_SENSITIVITY, "sensitivity").alias("price_sensitivity"),
            correlated(F.col("need"), NEED_TO_AVERSION, "aversion").alias("contact_aversion"),
            *[score(f"liking {kind}").alias(f"liking_{kind}") for kind in KINDS],
            *[score(f"taste {place}").alias(f"taste_score_{place}") for place in range(len(CATEGORIES))],
        )
        .select(
            "number", "user_id", "is_bot", "need", "price_sensitivity", "contact_aversion",
            *[f"liking_{kind}" for kind in KINDS],
            _shares(tastes).alias("taste"),
            F.when(F.col("is_bot"), 0.0)
            .otherwise(F.least(F.lit(BASE_MEDIAN) * F.exp(F.lit(BASE_SPREAD) * F.col("need")), F.lit(0.2)))
            .alias("base_rate"),
            mixed(F.col("need"), SHARED["visits"], "visits").alias("visit_habit"),
            mixed(F.col("need"), SHARED["need"], "need habit").alias("need_habit"),
            mixed(F.col("contact_aversion"), SHARED["aversion"], "aversion habit").alias("aversion_habit"),
            F.array(*[mixed(likings[k], SHARED["liking"], f"liking habit {k}") for k in range(len(KINDS))])
            .alias("liking_habit"),
            _shares(
                F.array(*[mixed(tastes[c], SHARED["taste"], f"taste habit {c}") for c in range(len(CATEGORIES))])
            ).alias("browse"),
            correlated(F.col("price_sensitivity"), SENSITIVITY_TO_LEVEL, "level").alias("level_score"),
        )
        .select(
            "number", "user_id", "is_bot", "need", "price_sensitivity", "contact_aversion",
            *[f"liking_{kind}" for kind in KINDS],
            *[F.col("taste")[place].alias(f"taste_{c.name.lower()}") for place, c in enumerate(CATEGORIES)],
            "base_rate", "visit_habit", "need_habit", "aversion_habit", "liking_habit", "browse",
            F.least(F.greatest(F.round((F.col("level_score") + 2.5) * 4), F.lit(0)), F.lit(LEVELS - 1)).cast("int")
            .alias("price_level"),
        )
    )  # fmt: skip


def taste() -> Column:
    """The tastes of a row of `traits`, as an array by category."""
    return F.array(*[F.col(f"taste_{c.name.lower()}") for c in CATEGORIES])


def liking() -> Column:
    """The likings of a row of `traits`, as an array by kind."""
    return F.array(*[F.col(f"liking_{kind}") for kind in KINDS])


def _shares(scores: Column) -> Column:
    """exp(score) over their sum, as an array."""
    raised = F.transform(scores, F.exp)
    return F.transform(raised, lambda part: part / F.aggregate(raised, F.lit(0.0), lambda total, more: total + more))


def chosen_category(shares: Column, draw: Column) -> Column:
    """Which category a uniform draw falls into, given an array of shares: an int from 0."""
    reached = F.lit(0.0)
    index = F.lit(0)
    for place in range(len(CATEGORIES) - 1):
        reached = reached + shares[place]
        index = index + (draw > reached).cast("int")
    return index


def chosen_rank(level: Column, draw: Column, size: int) -> Column:
    """Which rank by price a uniform draw gives a user of a price level (0 to 20): an int from 0 to size − 1."""
    return F.least(F.floor(F.pow(draw, steepness(level)) * size), F.lit(size - 1)).cast("int")


def steepness(level: Column) -> Column:
    """The exponent exp(−0.8 · level score): above 1 for those who buy cheap."""
    return F.exp(F.lit(-LEVEL_STEEPNESS) * (level / 4 - 2.5))


def users_feed(frame: DataFrame, *, seed: int, start_ms: int, end_ms: int) -> DataFrame:
    """The feed `users` in raw shape: a version from signup, and a later one of those who withdraw a consent.

    In the last fortnight 2 % withdraw the consent to marketing and 1 % that to profiling; 1 % never said anything about
    marketing.

    Args:
        frame: `traits`.
        seed: Of the shop.
        start_ms: First moment of the shop's log, epoch milliseconds: everyone signed up in the three years before.
        end_ms: Last moment, likewise.
    """
    number = F.col("number")
    day = 86_400_000

    def draw(purpose: str) -> Column:
        return uniform(seed, f"user:{purpose}", number)

    def one_of(values: tuple[str, ...], purpose: str) -> Column:
        return pick(values, F.floor(draw(purpose) * len(values)))

    bands = ("18-24", "25-34", "35-44", "45-54", "55-64", "65+")
    years = F.floor(2.6 - 0.5 * F.col("price_sensitivity") + 1.3 * normal(seed, "user:age", number))
    age = F.least(F.greatest(years, F.lit(0)), F.lit(5))
    versions = F.when(draw("withdraws") < 0.03, F.array(F.lit(0), F.lit(1))).otherwise(F.array(F.lit(0)))
    gone = F.col("version") == 1
    signup = F.lit(start_ms) - (draw("signup") * 1095 * day).cast("bigint") - day
    withdrawn = F.lit(end_ms) - (draw("withdrawn") * 14 * day).cast("bigint")
    gender = F.when(draw("gender") >= 0.05, one_of(("female", "male", "diverse"), "which gender"))
    marketing = F.when(gone & (draw("withdraws") < 0.02), "false").when(draw("silent") >= 0.01, "true")
    return frame.select("*", F.explode(versions).alias("version")).select(
        "user_id",
        F.when(gone, withdrawn).otherwise(signup).alias("updated_ms"),
        signup.alias("signup_ms"),
        gender.alias("gender"),
        pick(bands, age).alias("age_band"),
        one_of(("north", "east", "south", "west"), "region").alias("region"),
        marketing.alias("consent_marketing"),
        F.when(gone & (draw("withdraws") >= 0.02), "false").otherwise("true").alias("consent_profiling"),
        F.when(draw("newsletter") < 0.4, "yes").otherwise("no").alias("newsletter"),
    )
