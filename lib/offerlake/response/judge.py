"""How good probabilities were where neither their model nor their calibration had seen the rows."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from offerlake.accuracy import Accuracy, accuracy
from offerlake.response.calibration import Bins, binned, slope_of
from offerlake.response.models import LABEL


@dataclass(frozen=True)
class Judged:
    """How good probabilities were on rows that neither their model nor their calibration saw."""

    accuracy: Accuracy
    calibration_slope: float | None
    bins: tuple[tuple[int, float, float], ...]
    """Ten groups of rows by predicted probability, ascending: rows, mean predicted, share with label 1."""


def judged(frame: DataFrame, *, seed: int) -> Judged:
    """Judges the column `p` by `LABEL`."""
    bins = binned(frame.withColumn("all", F.lit(0)), probability="p", label=LABEL, by="all")[0]
    return Judged(
        accuracy=accuracy(frame, probability="p", label=LABEL, seed=seed),
        calibration_slope=slope_of(bins),
        bins=_tenths(bins),
    )


def _tenths(bins: Bins) -> tuple[tuple[int, float, float], ...]:
    """Bins gathered into at most ten groups of about equally many rows."""
    place = np.minimum((np.cumsum(bins.rows) - bins.rows / 2) / bins.rows.sum() * 10, 9.999).astype(int)
    p = 1 / (1 + np.exp(-bins.odds))
    groups = []
    for number in np.unique(place):
        at = place == number
        rows = bins.rows[at].sum()
        groups.append((int(rows), float((p[at] * bins.rows[at]).sum() / rows), float(bins.ones[at].sum() / rows)))
    return tuple(groups)
