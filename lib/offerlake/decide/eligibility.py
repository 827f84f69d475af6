"""The hard rules: which offers a user may get at all. A pair that breaks one is never scored or assigned."""

from __future__ import annotations

from datetime import date

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from offerlake.config import DecideSettings
from offerlake.windows import midnight

RULES = (
    "no_marketing_consent",
    "no_profiling_consent",
    "expired",
    "not_yet_valid",
    "empty_scope",
    "no_channel",
    "min_spend",
)
"""Why a pair is refused; the first that applies counts."""


def newest(frame: DataFrame, *, key: str, as_of: date) -> DataFrame:
    """One row a key: the newest version that had arrived before `as_of`; where none had, the first one.

    Args:
        frame: Versions of a dimension (`users`, `offers`), key `key` and `arrived_at`.
        key: The id's column.
        as_of: The UTC day.
    """
    arrived = F.unix_micros("arrived_at")
    known = F.col("arrived_at") < F.lit(midnight(as_of))
    best = F.max_by(F.struct("*"), F.struct(known, F.when(known, arrived).otherwise(-arrived)))
    return frame.groupBy(key).agg(best.alias("newest")).select("newest.*")


def roster(users: DataFrame, *, as_of: date, unknown_consent: bool) -> DataFrame:
    """Everybody who had signed up, and whether he may be contacted and scored, as it was known on the day.

    Args:
        users: The table `users`, all versions; a consent that nobody stated is null there.
        as_of: The UTC day.
        unknown_consent: What such a consent counts as (`clean.unknown_consent`).

    Returns:
        user_id, marketing, profiling (the consents, never null).
    """
    there = F.col("signup_time").isNull() | (F.col("signup_time") < F.lit(midnight(as_of)))
    return (
        newest(users, key="user_id", as_of=as_of)
        .where(there)
        .select(
            "user_id",
            F.coalesce("consent_marketing", F.lit(unknown_consent)).alias("marketing"),
            F.coalesce("consent_profiling", F.lit(unknown_consent)).alias("profiling"),
        )
    )


def judge_pairs(
    users: DataFrame,
    offers: DataFrame,
    offer_products: DataFrame,
    user_features: DataFrame,
    *,
    as_of: date,
    settings: DecideSettings,
    unknown_consent: bool,
) -> DataFrame:
    """Every user with every offer, and the first hard rule that refuses the pair.

    All arms get their offer as of `as_of`, so one that begins later waits for a later run. A scope is empty when the
    offer is limited to categories, brands or products and names none. `min_spend` refuses where it is above
    `settings.min_spend_factor` times the user's `typical_order_value` (the shop's mean for one who has not ordered; no
    refusal where nobody has).

    Args:
        users: The table `users`, all versions.
        offers: The table `offers`, all versions.
        offer_products: The table `offer_products`.
        user_features: The table `user_features` as of `as_of`.
        as_of: The UTC day of the assignment.
        settings: Section `decide`.
        unknown_consent: What a missing consent counts as (`clean.unknown_consent`).

    Returns:
        as_of, user_id, offer_id, channel (the cheapest allowed, ties by name), contact_cost, refused (one of `RULES`;
        null: the pair passes).
    """
    usual = user_features.select("user_id", "typical_order_value")
    people = roster(users, as_of=as_of, unknown_consent=unknown_consent).join(usual, on="user_id", how="left")
    return people.crossJoin(F.broadcast(_judged_offers(offers, offer_products, as_of=as_of, settings=settings))).select(
        F.lit(as_of).alias("as_of"),
        "user_id",
        "offer_id",
        "channel",
        "contact_cost",
        F.when(~F.col("marketing"), "no_marketing_consent")
        .when(~F.col("profiling"), "no_profiling_consent")
        .when(F.col("offer_refused").isNotNull(), F.col("offer_refused"))
        .when(_min_spend_too_high(settings.min_spend_factor), "min_spend")
        .alias("refused"),
    )


def eligible(judged: DataFrame) -> DataFrame:
    """The pairs that pass: as_of, user_id, offer_id, channel, contact_cost."""
    return judged.where(F.col("refused").isNull()).drop("refused")


def refusals(judged: DataFrame) -> dict[str, int]:
    """Rule to the number of pairs it refused, zeros too; `passed` to the number that passed."""
    counted = dict.fromkeys((*RULES, "passed"), 0)
    rows = judged.groupBy(F.coalesce("refused", F.lit("passed")).alias("rule")).count().collect()
    return counted | {row["rule"]: row["count"] for row in rows}


def _judged_offers(offers: DataFrame, offer_products: DataFrame, *, as_of: date, settings: DecideSettings) -> DataFrame:
    start = F.lit(midnight(as_of))
    listed = offer_products.select("offer_id").distinct().withColumn("listed", F.lit(True))
    named = F.size("scope_values") > 0
    in_scope = (
        F.when(F.col("scope") == "all", True)
        .when(F.col("scope") == "products", F.coalesce("listed", F.lit(False)))
        .otherwise(named)
    )
    cheapest = _cheapest_channel(settings.contact_cost)
    return (
        newest(offers, key="offer_id", as_of=as_of)
        .join(listed, on="offer_id", how="left")
        .select(
            "offer_id",
            F.col("min_spend").cast("double").alias("min_spend"),
            cheapest["channel"].alias("channel"),
            F.coalesce(cheapest["cost"], F.lit(0.0)).alias("contact_cost"),
            F.when(F.col("valid_to") <= start, "expired")
            .when(F.col("valid_from") > start, "not_yet_valid")
            .when(~in_scope, "empty_scope")
            .when(F.size("channels") == 0, "no_channel")
            .alias("offer_refused"),
        )
    )


def _cheapest_channel(contact_cost: dict[str, float]) -> Column:
    # A channel without a stated cost costs nothing; an offer that names no channels may go out on any known one.
    known = F.array(*[F.lit(name) for name in sorted(contact_cost)]).cast("array<string>")
    entries = [F.lit(part) for name, cost in sorted(contact_cost.items()) for part in (name, float(cost))]
    costs = F.create_map(*entries).cast("map<string,double>")
    priced = F.transform(
        F.coalesce("channels", known),
        lambda name: F.struct(
            F.coalesce(F.try_element_at(costs, name), F.lit(0.0)).alias("cost"), name.alias("channel")
        ),
    )
    return F.array_min(priced)


def _min_spend_too_high(factor: float) -> Column:
    return F.coalesce(F.col("min_spend") > F.lit(factor) * F.col("typical_order_value"), F.lit(False))
