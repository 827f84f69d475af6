"""Holdout and exploration: who is left to chance, and with what probability each got what he got.

Three arms, by seeded draws of a user's id. Holdout: nothing, always the same users (share h, a seed of its own).
Exploration: of the others a share e, drawn anew for every day, gets one of his n offers or nothing, each with
probability 1/(n + 1). Model: the rest.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from offerlake.config import DecideSettings
from offerlake.decide.allocate import Cut, cut, micro
from offerlake.randomness import uniform

_SCALE = float(2**53)


@dataclass(frozen=True)
class Exploration:
    """How much exploration the budget allowed.

    Attributes:
        share: e, the share of users outside the holdout who explore; at most the setting.
        spend: Expected cost of what they got, in money.
    """

    share: float
    spend: float


def draws(users: DataFrame, pairs: DataFrame, *, as_of: date, seed: int, settings: DecideSettings) -> DataFrame:
    """Every user with his draws.

    Args:
        users: user_id, one row a user.
        pairs: user_id, offer_id, cost: the offers that each may get.
        as_of: The day; another day draws other explorers.
        seed: `run.seed`.
        settings: Section `decide`.

    Returns:
        user_id, options (n), is_holdout, explore_draw (uniform in (0, 1); the smallest explore), explore_offer_id (what
        he gets if he explores; null: nothing), explore_cost (its cost, 0 for nothing).
    """
    offer = F.struct("offer_id", "cost")
    offered = pairs.groupBy("user_id").agg(F.sort_array(F.collect_list(offer)).alias("offers"))
    day = F.lit(as_of.isoformat())
    options = F.coalesce(F.size("offers"), F.lit(0))
    # 0 is nothing, k the k-th offer by id.
    pick = F.floor(uniform(seed, "explore_choice", day, F.col("user_id")) * (options + 1)).cast("int")
    chosen = F.when(pick > 0, F.try_element_at("offers", F.greatest(pick, F.lit(1))))
    return users.join(offered, on="user_id", how="left").select(
        "user_id",
        options.alias("options"),
        (uniform(settings.holdout_seed, "holdout", F.col("user_id")) < settings.holdout_share).alias("is_holdout"),
        uniform(seed, "explore", day, F.col("user_id")).alias("explore_draw"),
        chosen["offer_id"].alias("explore_offer_id"),
        F.coalesce(chosen["cost"], F.lit(0.0)).alias("explore_cost"),
    )


def fit_exploration(drawn: DataFrame, *, settings: DecideSettings) -> Exploration:
    """Lowers the share of explorers until what they get fits into exploration's part of the budget.

    Explorers are taken by rising draw until the next would exceed `explore_budget_share` × budget; e is that one's
    draw. So whoever explores does so by a draw below e, which is independent of what he is and of what he got.
    """
    explorers = drawn.where(~F.col("is_holdout") & (F.col("explore_draw") < settings.explore_share)).select(
        (F.lit(_SCALE) - F.floor(F.col("explore_draw") * F.lit(_SCALE))).cast("bigint").alias("key"),
        F.lit(0).cast("bigint").alias("tie"),
        F.col("explore_draw").alias("ratio"),
        micro(F.col("explore_cost")).alias("spend"),
    )
    edge: Cut = cut(explorers, settings.budget * settings.explore_budget_share)
    all_fit = edge.key < 0
    return Exploration(share=settings.explore_share if all_fit else edge.price, spend=edge.spend)


def arm(exploration: Exploration) -> Column:
    """holdout, explore or model, of a row of `draws`."""
    explores = F.col("explore_draw") < F.lit(exploration.share)
    return F.when(F.col("is_holdout"), "holdout").when(explores, "explore").otherwise("model")


def propensity(*, holdout_share: float, explore_share: float) -> Column:
    """Probability, over holdout, exploration and model together, of the choice that the user got.

    P(a) = h · 1{a = nothing} + (1 − h) · (e / (n + 1) + (1 − e) · 1{a = m}), for a one of his n offers or nothing and
    m the model's choice for him, which is known for holdout users and explorers too; 1 where n = 0. The price λ of
    the budget is taken as given: one user's draw moves it by less than one step of the assigner.

    Needs the columns options (n), offer_id (a) and model_offer_id (m); null is nothing.
    """
    same = F.col("offer_id").eqNullSafe(F.col("model_offer_id")).cast("double")
    nothing = F.col("offer_id").isNull().cast("double")
    h, e = F.lit(holdout_share), F.lit(explore_share)
    mixed = h * nothing + (1 - h) * (e / (F.col("options") + 1) + (1 - e) * same)
    return F.when(F.col("options") == 0, F.lit(1.0)).otherwise(F.least(mixed, F.lit(1.0)))
