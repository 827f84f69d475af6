"""Training of the uplift model: who enters, the design, the effect where there was an experiment, the money."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any

import numpy as np
from pyspark import StorageLevel
from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from offerlake.config import UpliftSettings
from offerlake.randomness import fold
from offerlake.response.design import BASE, Design, learn_design, row_content
from offerlake.response.effect import Effect, fit_effect, sums_by_fold
from offerlake.response.features import Numbers
from offerlake.response.models import ResponseModel
from offerlake.response.worth import Worth, fit_worth

_KEPT = (
    "exposure_id", "offer_id", "treatment", "propensity", "shown_date", "responded", "redeemed", "use_value",
    "net_value",
)  # fmt: skip
OUTCOME = "responded"
"""What effects are effects on."""
UPLIFT_FILE = "uplift.json"
_MOST_PERIODS = 30


@dataclass(frozen=True)
class ArmEffect:
    """Mean effect of one arm against nothing, in probability, with its standard error; and the arm's rows."""

    mean: float
    error: float
    rows: int


@dataclass(frozen=True)
class UpliftModel:
    """What an offer changes and what it is worth, by fold of users.

    Attributes:
        design: How rows become numbers.
        effect: The effect on P(responded); None where the data has no randomised rows with a control group.
        worth: Money, one a fold.
        label: The label of the response model that it is used with.
    """

    design: Design
    effect: Effect | None
    worth: tuple[Worth, ...]
    label: str

    def as_dict(self) -> dict[str, Any]:
        """As JSON's own types."""
        return {
            "design": self.design.as_dict(),
            "effect": self.effect.as_dict() if self.effect else None,
            "worth": [part.as_dict() for part in self.worth],
            "label": self.label,
        }

    @staticmethod
    def of(content: dict[str, Any]) -> UpliftModel:
        """Reads what `as_dict` gave."""
        return UpliftModel(
            design=Design.of(content["design"]),
            effect=Effect.of(content["effect"]) if content["effect"] else None,
            worth=tuple(Worth.of(part) for part in content["worth"]),
            label=content["label"],
        )


@dataclass(frozen=True)
class TrainedUplift:
    """An uplift model and what is to be said of it.

    Attributes:
        model: The model.
        arms: Mean effect by offer over the randomised rows, `all` for any offer; empty without a control group.
        randomised: Rows that could teach the effect.
    """

    model: UpliftModel
    arms: dict[str, ArmEffect]
    randomised: int


def train_uplift(
    examples: DataFrame,
    base: ResponseModel | None,
    *,
    label: str,
    seed: int,
    folds: int,
    settings: UpliftSettings,
    contact_cost: Mapping[str, float],
    until: date | None = None,
) -> TrainedUplift:
    """Trains the effect of every offer against nothing, and the money of a pair.

    Only rows whose propensity is known and strictly between 0 and 1 teach the effect; without such rows of both kinds
    (with an offer and without), there is no effect model and the numbers that need one stay null.

    Args:
        examples: The table `examples`.
        base: The response model of `OUTCOME`; None: no effect is looked for.
        label: The label of the response model that the scores will use.
        seed: `run.seed`.
        folds: `response.folds`.
        settings: Section `uplift`.
        contact_cost: Money a message, by channel (`decide.contact_cost`).
        until: Rows whose label window ends after this day are left out (`response.test_from`); None: none.

    Raises:
        DataError: There are too few buyers to learn from.
    """
    known = examples if until is None else examples.where(F.col("label_end") <= F.lit(until).cast("timestamp"))
    randomised = F.col("propensity").isNotNull() & (F.col("propensity") > 0) & (F.col("propensity") < 1)
    shares = _shares(known.where(randomised))
    control = base is not None and bool(base.nothing) and None in shares and len(shares) > 1
    if base is not None and control:
        rows = base.predict_nothing(known, column=BASE)
    else:
        rows = known.withColumn(BASE, F.lit(None).cast("double"))
    kept = rows.select(
        *_KEPT,
        BASE,
        row_content().alias("row"),
        (F.col("margin") + F.col("treatment") * contact_cost_of(contact_cost)).alias("gross_margin"),
        fold(seed, "fold", folds, F.col("user_id")).alias("fold"),
        randomised.alias("randomised"),
    )
    # Partitions and their order depend on the keys only, so that sums of doubles are the same in every run.
    ordered = kept.repartition(kept.sparkSession.sparkContext.defaultParallelism, "exposure_id")
    ordered = ordered.sortWithinPartitions("exposure_id").persist(StorageLevel.MEMORY_AND_DISK)
    try:
        design = learn_design(ordered, settings=settings)
        worth = fit_worth(ordered.where(F.col("responded") == 1), design, folds=folds)
        effect: Effect | None = None
        arms: dict[str, ArmEffect] = {}
        if control:
            teaching = _teaching(ordered.where("randomised"), shares, settings=settings)
            periods = 1 + max(row[0] for row in teaching.select("period").distinct().collect())
            sums = sums_by_fold(teaching, design, periods=periods, folds=folds)
            effect, arms = fit_effect(sums, design, periods=periods), _arm_effects(teaching)
    finally:
        ordered.unpersist()
    model = UpliftModel(design=design, effect=effect, worth=worth, label=label)
    return TrainedUplift(model=model, arms=arms, randomised=sum(shares.values()))


def contact_cost_of(contact_cost: Mapping[str, float]) -> Column:
    """Money of the message on the row's channel; 0 where the channel has no stated cost."""
    column = F.lit(0.0)
    for channel, cost in sorted(contact_cost.items()):
        column = F.when(F.col("channel") == channel, F.lit(float(cost))).otherwise(column)
    return column


def _shares(randomised: DataFrame) -> dict[str | None, int]:
    """Rows of each arm, by offer id; None is nothing."""
    return {row["offer_id"]: row["count"] for row in randomised.groupBy("offer_id").count().collect()}


def _teaching(rows: DataFrame, shares: Mapping[str | None, int], *, settings: UpliftSettings) -> DataFrame:
    """Adds `outcome` (responded − p_no_offer), `weight` (the arm's share over its propensity) and `period`."""
    total = sum(shares.values())
    share = F.lit(shares[None] / total)
    for offer, count in sorted((offer, count) for offer, count in shares.items() if offer is not None):
        share = F.when(F.col("offer_id") == offer, F.lit(count / total)).otherwise(share)
    days = sorted(row[0] for row in rows.select("shown_date").distinct().collect())
    together = -(-len(days) // _MOST_PERIODS)
    period = F.lit(0)
    for number, day in enumerate(days[::together]):
        period = F.when(F.col("shown_date") >= F.lit(day), F.lit(number)).otherwise(period)
    return rows.withColumns(
        {
            "outcome": F.col("responded") - F.col(BASE),
            "weight": F.least(F.lit(settings.weight_limit), share / F.col("propensity")),
            "period": period,
        }
    )


def _arm_effects(teaching: DataFrame) -> dict[str, ArmEffect]:
    """Difference in means of `outcome` between each arm and nothing, weighted; `all` is any offer.

    Decimals add up to the same sum in any order.
    """
    w, y = F.col("weight"), F.col("outcome")
    sums = {"w": w, "wy": w * y, "ww": w * w, "wwy": w * w * y, "wwyy": w * w * y * y}
    exact = [F.sum(column.cast("decimal(28,12)")).cast("double").alias(name) for name, column in sums.items()]
    rows = teaching.groupBy("offer_id").agg(F.count(F.lit(1)).alias("n"), *exact).collect()
    found = {row["offer_id"]: np.array([row["n"], *[row[name] for name in sums]], dtype=float) for row in rows}
    control = found.pop(None)
    found["all"] = np.sum(list(found.values()), axis=0)
    effects = {}
    for name, arm in sorted(found.items()):
        (mean, variance), (base, base_variance) = _mean(arm), _mean(control)
        effects[name] = ArmEffect(mean - base, float(np.sqrt(variance + base_variance)), int(arm[0]))
    return effects


def _mean(sums: Numbers) -> tuple[float, float]:
    _, w, wy, ww, wwy, wwyy = (float(value) for value in sums)
    mean = wy / w
    return mean, max(wwyy - 2 * mean * wwy + mean**2 * ww, 0.0) / w**2
