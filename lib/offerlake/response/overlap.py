"""Who got which offer: are the arms alike, and could everybody have got each? What effects from logs rest on."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from pyspark.ml.functions import array_to_vector
from pyspark.ml.stat import Summarizer
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from offerlake.errors import DataError
from offerlake.response.features import Numbers
from offerlake.response.learners import ARM, CHANCES, X


@dataclass(frozen=True)
class Balance:
    """One offer's rows against those of nothing.

    Attributes:
        offer: Number of the arm, from 1.
        rows: How many it has.
        effective: (Σ w)² / Σ w² of the weights w = 1 / e: rows of equal weight that would tell as much (Kish 1965).
        differences: Of each number of x: (mean of the offer − mean of nothing) / √(mean of the two variances), the
            standardised mean difference; beyond ±0.1 the arms are held to differ (Austin 2011, section 5).
        weighted: The same with means weighted by w: near 0 where e is right.
        least: Smallest e of the offer over all rows: near 0 there are users of whom nothing can be said.
    """

    offer: int
    rows: int
    effective: float
    differences: Numbers
    weighted: Numbers
    least: float


def balance(rows: DataFrame) -> tuple[Balance, ...]:
    """Compares each offer's rows with those of nothing, in one pass.

    The numbers of x are all that is looked at: what decided who got what and is not among them stays unseen. To see
    whether something did, take an outcome from before the exposure for `y`: no learner may find an effect on it.

    Args:
        rows: `x`, `arm` and `e`, as for `learners.fit_effects`.

    Raises:
        DataError: An arm has no rows.
    """
    weight = 1 / F.col(CHANCES)[F.col(ARM)]
    given = rows.select(ARM, CHANCES, array_to_vector(F.col(X)).alias("v"), weight.alias("w"))
    of_rows, of_weights = Summarizer.metrics("mean", "variance"), Summarizer.metrics("mean")
    found = given.groupBy(ARM).agg(
        F.count(F.lit(1)).alias("rows"),
        F.sum("w").alias("w"),
        F.sum(F.col("w") * F.col("w")).alias("ww"),
        F.first(F.size(CHANCES)).alias("arms"),
        of_rows.summary(F.col("v")).alias("plain"),
        of_weights.summary(F.col("v"), F.col("w")).alias("weighted"),
    )
    arms = {row[ARM]: row for row in found.collect()}
    if not arms:
        raise DataError("no rows to compare", fix="Give rows with x, arm and e.")
    number = next(iter(arms.values()))["arms"]
    for arm in range(number):
        if arm not in arms:
            raise DataError(f"{ARM} {arm}: no rows", fix="Leave the offer out of e.")
    row = given.agg(*[F.min(F.col(CHANCES)[arm]) for arm in range(number)]).first()
    assert row is not None
    nothing, told = arms[0], []
    for offer in range(1, number):
        own = arms[offer]
        variances = (own["plain"]["variance"].toArray() + nothing["plain"]["variance"].toArray()) / 2
        spread = np.where(variances > 0, np.sqrt(variances), 1)
        plain, weighted = (
            (own[name]["mean"].toArray() - nothing[name]["mean"].toArray()) / spread for name in ("plain", "weighted")
        )
        told.append(Balance(offer, own["rows"], own["w"] ** 2 / own["ww"], plain, weighted, row[offer]))
    return tuple(told)
