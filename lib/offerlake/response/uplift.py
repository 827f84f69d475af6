"""Training of the uplift model: who enters, the design, the effect where there was an experiment, the money."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

import numpy as np
import pyarrow as pa
from pyspark import StorageLevel
from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from offerlake.config import UpliftSettings
from offerlake.errors import DataError
from offerlake.randomness import fold
from offerlake.response.design import BASE, Design, Scaling, log_odds_of
from offerlake.response.effect import Effect, fit_effect, sums_by_fold
from offerlake.response.features import ONE_ROW, USER_NUMBERS, Numbers, in_order, matrix, numbers_of, one_row, squeeze
from offerlake.response.models import ResponseModel
from offerlake.response.worth import Worth, fit_worth

_KEPT = (
    "exposure_id", "user_id", "offer_id", "kind", "treatment", "propensity", "shown_date", "responded", "redeemed",
    "net_value", "discount_rate", "fixed_cost", "scoped", "kind_affinity", "scope_affinity",
)  # fmt: skip
OUTCOME = "responded"
"""What effects are effects on."""
UPLIFT_FILE = "uplift.json"
_MOST_PERIODS = 30
_FLAT = 1e-9


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
    rows = base.predict_nothing(known, column=BASE) if base is not None and control else known
    kept = rows.select(
        *_KEPT,
        *USER_NUMBERS,
        *([BASE] if control else []),
        (F.col("margin") + F.col("treatment") * contact_cost_of(contact_cost)).alias("gross_margin"),
        fold(seed, "fold", folds, F.col("user_id")).alias("fold"),
        randomised.alias("randomised"),
    )
    # Partitions and their order depend on the keys only, so that sums of doubles are the same in every run.
    ordered = kept.repartition(kept.sparkSession.sparkContext.defaultParallelism, "exposure_id")
    ordered = ordered.sortWithinPartitions("exposure_id").persist(StorageLevel.MEMORY_AND_DISK)
    try:
        design = learn_design(ordered, settings=settings, base=control)
        described = ordered.withColumn("row", design.row())
        worth = fit_worth(described.where(F.col("responded") == 1), design, folds=folds)
        effect: Effect | None = None
        arms: dict[str, ArmEffect] = {}
        if control:
            teaching = _teaching(described.where("randomised"), shares, settings=settings)
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


def learn_design(rows: DataFrame, *, settings: UpliftSettings, base: bool) -> Design:
    """Finds means and scales in one pass; numbers that never change are left out.

    Args:
        rows: `USER_NUMBERS`, the offer's columns and, with `base`, `BASE`.
        settings: Section `uplift`.
        base: Whether `BASE` is one of the user's numbers.

    Raises:
        DataError: There are no rows.
    """
    names = (*USER_NUMBERS, *([BASE] if base else []))
    sent = rows.where(F.col("kind") != "none")
    numbers = _scales(rows, names, by=F.lit("all"))
    if not numbers:
        raise DataError("examples: no rows to learn from", fix="Widen the period, or run build_examples first.")
    likings = _scales(sent, ("kind_affinity",), by=F.col("kind"))
    scopes = _scales(sent.where(F.col("scoped") == 1), ("scope_affinity",), by=F.lit("all"), squeezing=False)
    typical = rows.agg(F.avg(F.round("typical_order_value", 2).cast("decimal(18,2)"))).first()
    offers = [row[0] for row in sent.select("offer_id").distinct().collect()]
    return Design(
        numbers={name: scaling for name, scaling in zip(names, numbers["all"], strict=True) if scaling[1] > _FLAT},
        likings={kind: (mean, scale if scale > _FLAT else 1.0) for kind, [(mean, scale)] in sorted(likings.items())},
        scope=(scopes["all"][0][0], max(scopes["all"][0][1], _FLAT)) if scopes else (0.0, 1.0),
        typical=float(typical[0]) if typical and typical[0] else 1.0,
        offers=tuple(sorted(offers)),
        dose_scale=settings.dose_scale,
    )


def _scales(rows: DataFrame, names: Sequence[str], *, by: Column, squeezing: bool = True) -> dict[str, list[Scaling]]:
    """Mean and standard deviation of numbers, for each value of `by`; `BASE` as log-odds, the others squeezed."""

    def partial(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        found: dict[str, Numbers] = {}
        for batch in batches:
            raw = matrix(batch.column("x"), len(names))
            x = squeeze(raw) if squeezing else raw
            if names[-1] == BASE:
                x[:, -1] = log_odds_of(raw[:, -1])
            values = batch.column("by").to_numpy(zero_copy_only=False).astype(str)
            for value in np.unique(values):
                part = x[values == value]
                there = np.isfinite(part)
                part = np.where(there, part, 0)
                sums = np.stack([there.sum(axis=0), part.sum(axis=0), (part**2).sum(axis=0)])
                found[str(value)] = found.get(str(value), np.zeros((3, len(names)))) + sums
        if found:
            yield one_row(found)

    parts = rows.select(numbers_of(names).alias("x"), by.alias("by")).mapInArrow(partial, ONE_ROW).collect()
    totals: dict[str, Numbers] = {}
    for content in in_order(parts):
        for value, sums in content.items():
            totals[value] = totals.get(value, np.zeros((3, len(names)))) + sums
    scales = {}
    for value, (count, total, squares) in totals.items():
        mean = total / np.maximum(count, 1)
        spread = np.sqrt(np.maximum(squares / np.maximum(count, 1) - mean**2, 0))
        scales[value] = [(float(m), float(s)) for m, s in zip(mean, spread, strict=True)]
    return scales


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
