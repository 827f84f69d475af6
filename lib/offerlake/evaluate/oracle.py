"""The shares of the oracle from the tables of a run and the truth's folder.

Everything is worked out in one task: a test shop is as large as one machine takes, see `MOST_PAIRS`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from offerlake.errors import DataError
from offerlake.evaluate.ceiling import can_fit, feature_matrix, fit_ceiling
from offerlake.evaluate.truth import Assigner, Floats, Number, Shop, generator, oracle_shares

MOST_PAIRS = 6_000_000
"""Pairs of user and offer: 500,000 users with 12 offers take about 2 GiB."""

NOTHING = "none"
"""The truth's name for no offer."""


@dataclass(frozen=True)
class Arm:
    """What the experiment says of one offer: `effect` on the mean of responded, and `use`, redemptions by response."""

    offer_id: str
    effect: float
    use: float


def arm_means(examples: DataFrame) -> list[Arm]:
    """Mean effects by arm from randomised rows, weighted by inverse propensity; empty without a control."""
    weight = 1 / F.col("propensity")
    rows = (
        examples.where((F.col("propensity") > 0) & (F.col("propensity") < 1))
        .groupBy("offer_id")
        .agg(
            (F.sum(weight * F.col("responded")) / F.sum(weight)).alias("responded"),
            F.sum(weight * F.col("redeemed")).alias("used"),
            F.sum(weight * F.col("responded")).alias("bought"),
        )
        .collect()
    )
    control = next((row["responded"] for row in rows if row["offer_id"] is None), None)
    if control is None:
        return []
    return [
        Arm(
            row["offer_id"], row["responded"] - control, min(1.0, row["used"] / row["bought"]) if row["bought"] else 0.0
        )
        for row in sorted((row for row in rows if row["offer_id"] is not None), key=lambda row: str(row["offer_id"]))
    ]


def rule_offer(examples: DataFrame, *, policy: str) -> str | None:
    """What the old rule gives: the offer most often given under that name; None: never any."""
    given = examples.where((F.col("policy") == policy) & F.col("offer_id").isNotNull())
    row = given.groupBy("offer_id").count().orderBy(F.desc("count"), "offer_id").first()
    return None if row is None else str(row["offer_id"])


def oracle_numbers(
    scores: DataFrame,
    outcomes: DataFrame,
    user_features: DataFrame,
    user_offers: DataFrame,
    *,
    arms: Sequence[Arm],
    old_rule: str | None,
    assign: Assigner,
    samples: int,
    seed: int,
) -> list[Number]:
    """The numbers of `truth.oracle_shares`.

    Args:
        scores: `offer_scores` of the run with its `value` (money): the pairs that pass the hard rules.
        outcomes: The truth: user_id, offer_id, expected_cost, incremental_margin; rows of users or offers that are not
            in `scores` are not used.
        user_features: As of the run's day, with category_affinity of `user_profiles`.
        user_offers: The run's assignment.
        arms: From the experiment, see `arm_means`.
        old_rule: The offer that the old rule gives to the users with the most orders in 84 days; None: there is none.
        assign: The run's assigner, on arrays.
        samples: Bootstrap samples.
        seed: Of everything random here.

    Raises:
        DataError: The truth knows nothing of a scored pair, or the shop is too large.
    """
    truth = outcomes.where(F.col("offer_id") != NOTHING).select(
        "user_id",
        "offer_id",
        F.col("expected_cost").alias("true_cost"),
        F.col("incremental_margin").alias("true_value"),
    )
    given = user_offers.where(F.col("offer_id").isNotNull()).select(
        "user_id", "offer_id", F.lit(True).alias("published")
    )
    pairs = scores.select(
        "user_id", "offer_id", "value", "expected_cost", "p_response", "p_no_offer", "order_margin", "redemption_cost",
        "contact_cost", F.lit(True).alias("scored"),
    )  # fmt: skip
    users = pairs.select("user_id").distinct()
    # The ceiling learns from every pair of a user, also from those that he may not get.
    every = (
        truth.join(users, on="user_id", how="left_semi")
        .join(pairs, on=["user_id", "offer_id"], how="full")
        .join(given, on=["user_id", "offer_id"], how="left")
    )
    rows, unknown = every.agg(F.count("user_id"), F.sum(F.col("true_value").isNull().cast("int"))).collect()[0]
    if unknown:
        raise DataError(
            f"truth: no outcome for {unknown} of the scored pairs", fix="Give the folder of the shop that was run."
        )
    if rows > MOST_PAIRS:
        raise DataError(f"truth: {rows} pairs of user and offer", fix=f"At most {MOST_PAIRS}: simulate fewer users.")
    if not rows:
        return []

    def work_out(pair_rows: pd.DataFrame, user_rows: pd.DataFrame) -> pd.DataFrame:
        shop = assemble(pair_rows, user_rows, arms=arms, old_rule=old_rule, seed=seed)
        return pd.DataFrame(oracle_shares(shop, assign=assign, samples=samples, seed=seed))

    one, features = F.lit(0).alias("one"), user_features.join(users, on="user_id", how="left_semi")
    found = (
        every.select(one, "*")
        .groupBy("one")
        .cogroup(features.select(one, "*").groupBy("one"))
        .applyInPandas(work_out, "name string, value double, low double, high double")
        .collect()
    )
    return [Number(**row.asDict()) for row in found]


def assemble(pairs: pd.DataFrame, users: pd.DataFrame, *, arms: Sequence[Arm], old_rule: str | None, seed: int) -> Shop:
    """Puts rows into arrays of users by offers, both sorted by id; works out the ceiling."""
    user_ids, offer_ids = sorted(pairs["user_id"].unique()), sorted(pairs["offer_id"].unique())
    row = pd.Index(user_ids).get_indexer(pairs["user_id"])
    column = pd.Index(offer_ids).get_indexer(pairs["offer_id"])

    def wide(name: str) -> Floats:
        array = np.full((len(user_ids), len(offer_ids)), np.nan)
        array[row, column] = pairs[name].to_numpy(dtype=np.float64, na_value=np.nan)
        return array

    may = wide("scored") == 1.0
    told = users.set_index("user_id").reindex(user_ids)
    known = {arm.offer_id: arm for arm in arms}
    truth_value, truth_cost = wide("true_value"), wide("true_cost")
    ceiling: tuple[Floats | None, Floats | None] = (None, None)
    if can_fit() and np.isfinite(truth_value).all():
        ceiling = fit_ceiling(feature_matrix(told), truth_value, truth_cost, seed=seed)
    orders = told["orders_84d"].fillna(0).to_numpy(dtype=np.float64)
    given = wide("published") == 1.0
    filled = {
        name: np.where(may, wide(name), 0.0)
        for name in ("value", "expected_cost", "p_response", "order_margin", "redemption_cost", "contact_cost")
    }
    base = np.where(may, wide("p_no_offer"), np.nan)
    return Shop(
        true_value=np.where(may, truth_value, -np.inf),
        true_cost=np.where(may, truth_cost, 0.0),
        value=filled["value"],
        cost=filled["expected_cost"],
        p_response=filled["p_response"],
        p_no_offer=np.nan_to_num(np.nanmax(base, axis=1, initial=0.0, where=np.isfinite(base))),
        order_margin=filled["order_margin"],
        redemption_cost=filled["redemption_cost"],
        contact_cost=filled["contact_cost"],
        arm_effect=np.array([known[name].effect if name in known else 0.0 for name in offer_ids]),
        arm_use=np.array([known[name].use if name in known else 0.0 for name in offer_ids]),
        # Ties of the old rule are cut by chance, and everybody is worth something to it.
        rule_order=orders + generator(seed, 4).uniform(size=len(user_ids)),
        rule_offer=offer_ids.index(old_rule) if old_rule in offer_ids else -1,
        ceiling_value=ceiling[0],
        ceiling_cost=ceiling[1],
        published=np.where(given.any(axis=1), given.argmax(axis=1), -1),
    )
