"""Probabilities that mean what they say: learnt from binned predictions, Platt or isotonic.

Predictions come to the driver as counts by bin of log-odds, so that fitting costs the same for any number of rows.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

Method = Literal["platt", "isotonic"]
Numbers = npt.NDArray[np.float64]
TINY = 1e-6
_BINS_PER_LOG_ODDS = 25
_MOST_KNOTS = 32


def log_odds(p: Column) -> Column:
    """log(p / (1 − p)), with p held within [`TINY`, 1 − `TINY`]."""
    inside = F.greatest(F.lit(TINY), F.least(F.lit(1 - TINY), p))
    return F.log(inside / (1 - inside))


def unsampled(p: Column, *, negative_rate: Column) -> Column:
    """The probability among all rows, of one that a model learnt where only a part of the rows with label 0 was kept.

    q = p / (p + (1 − p) / w) with w the share kept: He et al., Practical lessons from predicting clicks on ads at
    Facebook, ADKDD 2014, section 6.3. A model that weighs its rows by 1 / w needs none of it.

    Args:
        p: Probability on the sampled rows, 0 to 1.
        negative_rate: w, in (0, 1]: of `click_examples` the sampling_rate of the rows that were not clicked.
    """
    return p / (p + (1 - p) / negative_rate)


@dataclass(frozen=True)
class Bins:
    """Rows counted by bin: mean log-odds (ascending), rows, and rows with label 1; each (bins,)."""

    odds: Numbers
    rows: Numbers
    ones: Numbers


def binned(frame: DataFrame, *, probability: str, label: str, by: str) -> dict[Any, Bins]:
    """Counts predictions and labels by bin of log-odds, for each value of the column `by`."""
    width = 1 / _BINS_PER_LOG_ODDS
    counted = (
        frame.groupBy(by, F.floor(log_odds(F.col(probability)) / width).alias("bin"))
        .agg(F.count(F.lit(1)).alias("rows"), F.sum(F.col(label).cast("bigint")).alias("ones"))
        .orderBy(by, "bin")
        .toPandas()
    )
    return {
        value: Bins(
            odds=(part["bin"].to_numpy(dtype=float) + 0.5) * width,
            rows=part["rows"].to_numpy(dtype=float),
            ones=part["ones"].to_numpy(dtype=float),
        )
        for value, part in counted.groupby(by)
    }


def pooled(parts: list[Bins]) -> Bins:
    """Several counts as one."""
    odds = np.concatenate([part.odds for part in parts]) if parts else np.zeros(0)
    order = np.argsort(odds, kind="stable")
    return Bins(
        odds=odds[order],
        rows=np.concatenate([part.rows for part in parts])[order] if parts else odds,
        ones=np.concatenate([part.ones for part in parts])[order] if parts else odds,
    )


@dataclass(frozen=True)
class Calibration:
    """A map from predicted to calibrated probability: linear between the knots, in log-odds.

    Attributes:
        method: `platt` has two knots and goes on in a straight line; `isotonic` is flat outside its knots.
        x: Log-odds predicted, ascending.
        y: Log-odds calibrated, not descending.
    """

    method: Method
    x: tuple[float, ...]
    y: tuple[float, ...]

    def column(self, p: Column) -> Column:
        """The calibrated probability, 0 to 1."""
        odds = log_odds(p)
        pieces = [
            F.lit(self.y[i])
            + (odds - F.lit(self.x[i])) * F.lit((self.y[i + 1] - self.y[i]) / (self.x[i + 1] - self.x[i]))
            for i in range(len(self.x) - 1)
        ]
        if self.method == "platt":
            value = pieces[0]
        else:
            value = F.lit(self.y[-1])
            for knot, piece in zip(reversed(self.x[1:]), reversed(pieces), strict=True):
                value = F.when(odds < F.lit(knot), piece).otherwise(value)
            value = F.when(odds < F.lit(self.x[0]), F.lit(self.y[0])).otherwise(value)
        return 1 / (1 + F.exp(-value))

    def as_dict(self) -> dict[str, Any]:
        """As JSON's own types; `Calibration(**content)` after `tuple` reads it back."""
        return asdict(self)

    @staticmethod
    def of(content: dict[str, Any]) -> Calibration:
        """Reads what `as_dict` gave."""
        return Calibration(method=content["method"], x=tuple(content["x"]), y=tuple(content["y"]))


def fit(bins: Bins, *, method: Method) -> Calibration:
    """Learns a calibration; with fewer than 20 rows of either label only the level is moved (slope 1).

    Platt (1999) with his smoothed targets, by Newton's method; isotonic by pool-adjacent-violators, its blocks joined
    by straight lines through their centres, blocks without either label drawn in by half a row.
    """
    ones = float(bins.ones.sum())
    zeros = float(bins.rows.sum()) - ones
    if method == "isotonic" and min(ones, zeros) >= 20:
        return _isotonic(bins)
    slope, level = _platt(bins, slope_fixed=min(ones, zeros) < 20)
    return Calibration(method="platt", x=(-1.0, 1.0), y=(level - slope, level + slope))


def slope_of(bins: Bins) -> float | None:
    """Calibration slope: that of a logistic regression of the label on the log-odds; 1 is right, below 1 too extreme.

    None where all labels are the same, or all predictions.
    """
    ones = float(bins.ones.sum())
    if ones in (0.0, float(bins.rows.sum())) or len(np.unique(bins.odds)) < 2:
        return None
    return _platt(bins, slope_fixed=False)[0]


def _platt(bins: Bins, *, slope_fixed: bool) -> tuple[float, float]:
    ones = float(bins.ones.sum())
    zeros = float(bins.rows.sum()) - ones
    if ones + zeros == 0:
        return 1.0, 0.0
    high, low = (ones + 1) / (ones + 2), 1 / (zeros + 2)
    target = bins.ones * high + (bins.rows - bins.ones) * low
    slope, level = 1.0, 0.0
    for _ in range(100):
        p = 1 / (1 + np.exp(-np.clip(slope * bins.odds + level, -30, 30)))
        rest, weight = target - bins.rows * p, np.maximum(bins.rows * p * (1 - p), 1e-12)
        if slope_fixed:
            step = np.array([0.0, rest.sum() / weight.sum()])
        else:
            hessian = np.array(
                [
                    [(weight * bins.odds**2).sum(), (weight * bins.odds).sum()],
                    [(weight * bins.odds).sum(), weight.sum()],
                ]
            )
            gradient = np.array([(rest * bins.odds).sum(), rest.sum()])
            step = np.linalg.solve(hessian + 1e-9 * weight.sum() * np.eye(2), gradient)
        step = np.clip(step, -1, 1)
        slope, level = slope + float(step[0]), level + float(step[1])
        if np.abs(step).max() < 1e-10:
            break
    return slope, level


def _isotonic(bins: Bins) -> Calibration:
    blocks: list[list[float]] = []  # sum of odds × rows, rows, ones
    for odds, rows, ones in zip(bins.odds, bins.rows, bins.ones, strict=True):
        blocks.append([odds * rows, rows, ones])
        while len(blocks) > 1 and blocks[-2][2] * blocks[-1][1] >= blocks[-1][2] * blocks[-2][1]:
            last = blocks.pop()
            blocks[-1] = [a + b for a, b in zip(blocks[-1], last, strict=True)]
    while len(blocks) > _MOST_KNOTS:
        smallest = min(range(len(blocks) - 1), key=lambda i: (blocks[i][1] + blocks[i + 1][1], i))
        blocks[smallest : smallest + 2] = [[a + b for a, b in zip(*blocks[smallest : smallest + 2], strict=True)]]
    if len(blocks) < 2:
        slope, level = 0.0, float(np.log((blocks[0][2] + 0.5) / (blocks[0][1] - blocks[0][2] + 0.5)))
        return Calibration(method="platt", x=(-1.0, 1.0), y=(level - slope, level + slope))
    x = [block[0] / block[1] for block in blocks]
    y = [float(np.log((block[2] + 0.5) / (block[1] - block[2] + 0.5))) for block in blocks]
    return Calibration(method="isotonic", x=tuple(x), y=tuple(float(v) for v in np.maximum.accumulate(y)))
