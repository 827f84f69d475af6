"""How well probabilities rank and fit, with an interval that knows that a user's rows belong together."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from offerlake.randomness import fold

Counts = npt.NDArray[np.float64]
_GROUPS = 50  # of users, each left out once: enough for a normal interval
_BINS_PER_LOG_ODDS = 100  # probabilities whose odds differ by less than 1 % count as ties
_TINY = 1e-9


@dataclass(frozen=True)
class Accuracy:
    """Numbers of one frame; None where they are not defined: no rows, or all labels the same.

    Attributes:
        rows: Rows judged.
        positives: Rows with label 1.
        auc: P(a row with label 1 has the higher probability), ties half, 0 to 1; with its 95 % interval over users.
        log_loss: Mean of −y·log p − (1 − y)·log(1 − p), in nats.
        brier: Mean of (p − y)².
    """

    rows: int
    positives: int
    auc: float | None
    auc_low: float | None
    auc_high: float | None
    log_loss: float | None
    brier: float | None


def accuracy(frame: DataFrame, *, probability: str, label: str, seed: int, user: str = "user_id") -> Accuracy:
    """Judges probabilities by what happened. Only counts by bin of log-odds come to the driver.

    The interval is AUC ± 1.96 standard errors by the delete-a-group jackknife (Kott 2001) over 50 groups of users:
    a user's rows leave together, so that their correlation is in it.

    Args:
        frame: Rows with `probability`, `label` (0 or 1) and `user`; rows without a probability are left out.
        probability: Column, 0 to 1.
        label: Column, 0 or 1.
        seed: Of the grouping.
        user: Column of the user.
    """
    p = F.greatest(F.lit(_TINY), F.least(F.lit(1 - _TINY), F.col(probability)))
    y = F.col(label).cast("double")
    binned = (
        frame.where(F.col(probability).isNotNull())
        .select(
            fold(seed, "accuracy", _GROUPS, F.col(user)).alias("leaves"),
            F.floor(F.log(p / (1 - p)) * _BINS_PER_LOG_ODDS).cast("int").alias("bin"),
            y.alias("y"),
            (-y * F.log(p) - (1 - y) * F.log(1 - p)).alias("loss"),
            F.pow(F.col(probability) - y, F.lit(2.0)).alias("square"),
        )
        .groupBy("leaves", "bin")
        .agg(F.count("y").alias("n"), *(F.sum(name).alias(name) for name in ("y", "loss", "square")))
        .orderBy("leaves", "bin")
        .toPandas()
    )
    rows, positives = int(binned["n"].sum()), int(binned["y"].sum())
    if rows == 0:
        return Accuracy(0, 0, None, None, None, None, None)
    bins, place = np.unique(binned["bin"].to_numpy(), return_inverse=True)
    ones, zeros = np.zeros((_GROUPS, len(bins))), np.zeros((_GROUPS, len(bins)))
    at = (binned["leaves"].to_numpy(), place)
    ones[at] = binned["y"].to_numpy()
    zeros[at] = binned["n"].to_numpy() - binned["y"].to_numpy()
    auc, error = _auc(ones.sum(axis=0), zeros.sum(axis=0)), _standard_error(ones, zeros)
    return Accuracy(
        rows=rows,
        positives=positives,
        auc=auc,
        auc_low=None if auc is None or error is None else max(0.0, auc - 1.96 * error),
        auc_high=None if auc is None or error is None else min(1.0, auc + 1.96 * error),
        log_loss=float(binned["loss"].sum()) / rows,
        brier=float(binned["square"].sum()) / rows,
    )


def _auc(ones: Counts, zeros: Counts) -> float | None:
    """AUC from counts by bin (bins,), in ascending order of probability."""
    pairs = ones.sum() * zeros.sum()
    if pairs == 0:
        return None
    below = np.cumsum(zeros) - zeros
    return float((ones * (below + zeros / 2)).sum() / pairs)


def _standard_error(ones: Counts, zeros: Counts) -> float | None:
    """√((G − 1)/G · Σ (AUC₋g − mean)²) over the G groups with rows; ones and zeros (groups, bins)."""
    there = (ones + zeros).sum(axis=1) > 0
    without = [
        _auc(ones.sum(axis=0) - ones[group], zeros.sum(axis=0) - zeros[group]) for group in np.flatnonzero(there)
    ]
    known = np.array([auc for auc in without if auc is not None])
    if len(known) < 2 or len(known) < len(without):
        return None
    return float(np.sqrt((len(known) - 1) / len(known) * ((known - known.mean()) ** 2).sum()))
