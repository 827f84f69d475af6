"""The structural model: what an offer does to a user, what it costs, and the truth that follows from it.

With user u, offer o of kind k, strength s(o) = 1 − exp(−depth equivalent / 0.12), and P in a window of one round:

    contact(u)  = −0.02 · logistic(−0.5 + aversion)
    lift(u, o)  = min(0.25, 0.024 · e^(0.7·liking_k − 0.245) · e^(σ_k·sensitivity − σ_k²/2) · [10 · taste of the scope])
    effect(u,o) = effects · (contact(u) + lift(u, o) · s(o))
    P(order)    = base + effect, kept within [base / 10, 0.95]
    P(redeem)   = P(order) · logistic(ρ_k + 0.4·liking_k) · P(the basket qualifies)

docs/simulator.md tells why. Every column here is used both to draw the logs and to write the truth.
"""

from __future__ import annotations

import math

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from offerlake.simulate.baskets import RETURNED, in_scope_chance
from offerlake.simulate.catalogue import CATEGORIES, pick

CONTACT_MOST = 0.02
CONTACT_MIDDLE = -0.5
LIFT = 0.024
LIFT_MOST = 0.25
LIKING = 0.7
SENSITIVITY = (0.9, 0.9, 0.9, 0.7, 0.7, 0.5)
"""σ by kind, in the order of KINDS."""
USE = (0.8, 0.8, 0.8, 0.6, 0.6, 0.0)
"""Share of buyers of average liking who use an offer of the kind, if the basket qualifies; content cannot be used."""
USE_LIKING = 0.4
LEAST_SHARE, MOST = 0.1, 0.95


def _logistic(x: Column) -> Column:
    return F.lit(1.0) / (F.lit(1.0) + F.exp(-x))


def _liking() -> Column:
    return F.element_at("liking", F.greatest(F.col("kind_index"), F.lit(0)) + 1)


def scope_taste() -> Column:
    """The user's taste for the offer's category; 1 without a scope."""
    inside = F.element_at("taste", F.greatest(F.col("scope_index"), F.lit(0)) + 1)
    return F.when(F.col("scope_index") < 0, F.lit(1.0)).otherwise(inside)


def effect() -> Column:
    """What the offer adds to the probability of an order, before limits and the factor `effects`; 0 for nothing."""
    contact = F.lit(-CONTACT_MOST) * _logistic(F.col("contact_aversion") + CONTACT_MIDDLE)
    sensitivity = pick(SENSITIVITY, F.greatest(F.col("kind_index"), F.lit(0)))
    scope = F.when(F.col("scope_index") < 0, F.lit(1.0)).otherwise(scope_taste() * len(CATEGORIES))
    lift = (
        F.lit(LIFT)
        * F.exp(F.lit(LIKING) * _liking() - LIKING**2 / 2)
        * F.exp(sensitivity * F.col("price_sensitivity") - sensitivity * sensitivity / 2)
        * scope
    )
    sent = contact + F.least(lift, F.lit(LIFT_MOST)) * F.col("strength")
    return F.when(F.col("kind_index") < 0, F.lit(0.0)).otherwise(sent)


def order_probability(effects: float) -> Column:
    """P(order in the window | the row's arm); 0 for bots."""
    moved = F.col("base_rate") + F.lit(float(effects)) * effect()
    limited = F.least(F.greatest(moved, F.col("base_rate") * LEAST_SHARE), F.lit(MOST))
    return F.when(F.col("is_bot"), 0.0).when(F.col("kind_index") < 0, F.col("base_rate")).otherwise(limited)


def use_probability() -> Column:
    """P(uses the offer | an order whose basket qualifies); 0 for nothing, content and bots."""
    odds = tuple(math.log(share / (1 - share)) if share else 0.0 for share in USE)
    kind = F.greatest(F.col("kind_index"), F.lit(0))
    usable = (F.col("kind_index") >= 0) & (pick(USE, kind) > 0) & ~F.col("is_bot")
    return F.when(usable, _logistic(pick(odds, kind) + F.lit(USE_LIKING) * _liking())).otherwise(0.0)


def qualify_probability() -> Column:
    """P(the basket reaches the minimum spend and holds something in scope), of an order."""
    reached = F.element_at("reach", F.greatest(F.col("spend_index"), F.lit(0)) + 1)
    enough = F.when(F.col("spend_index") < 0, F.lit(1.0)).otherwise(reached)
    return F.when(F.col("scope_index") < 0, enough).otherwise(in_scope_chance(scope_taste()))


def discount_if_used() -> Column:
    """E[discount · 1(qualifies)] of an order that uses its offer if it can, money, less what returns bring back."""
    gross = F.aggregate("gross", F.lit(0.0), lambda total, part: total + part)
    scoped = F.element_at("gross", F.greatest(F.col("scope_index"), F.lit(0)) + 1)
    percent = F.col("percent") * F.when(F.col("scope_index") < 0, gross).otherwise(scoped)
    amount = F.col("amount_cents") / 100 * qualify_probability()
    return (percent + amount) * F.lit(1 - RETURNED)


def outcomes(users: DataFrame, arms: DataFrame, *, effects: float) -> DataFrame:
    """The truth: every user under every arm.

    Args:
        users: user_id, is_bot, base_rate, price_sensitivity, contact_aversion, liking, taste, gross, margin, reach.
        arms: `offers.arms`.
        effects: Factor on the effect; 0: no offer changes any outcome.

    Returns:
        user_id, offer_id (`none` for nothing), p_response, p_redeem, order_margin (of one order, before the offer's
        cost, money), expected_cost (p_redeem × cost of a use + contact cost), expected_margin (p_response ×
        order_margin − expected_cost), incremental_margin (expected_margin less that under nothing).
    """
    margin = F.when(F.col("is_bot"), 0.0).otherwise(F.col("margin"))
    nothing = F.col("base_rate") * margin
    return (
        users.crossJoin(F.broadcast(arms))
        .select(
            "user_id",
            "offer_id",
            F.round(order_probability(effects), 12).alias("p_response"),
            use_probability().alias("use"),
            qualify_probability().alias("qualify"),
            discount_if_used().alias("discount"),
            (F.col("fixed_cents") / 100).alias("fixed"),
            "contact_cost",
            margin.alias("order_margin"),
            nothing.alias("nothing"),
        )
        .withColumn("used", F.col("p_response") * F.col("use"))
        .withColumn("p_redeem", F.round(F.col("used") * F.col("qualify"), 12))
        .withColumn(
            "expected_cost",
            F.round(F.col("used") * F.col("discount") + F.col("p_redeem") * F.col("fixed") + F.col("contact_cost"), 9),
        )
        .withColumn("expected_margin", F.round(F.col("p_response") * F.col("order_margin") - F.col("expected_cost"), 9))
        .select(
            "user_id", "offer_id", "p_response", "p_redeem", "order_margin", "expected_cost", "expected_margin",
            F.round(F.col("expected_margin") - F.col("nothing"), 9).alias("incremental_margin"),
        )
    )  # fmt: skip
