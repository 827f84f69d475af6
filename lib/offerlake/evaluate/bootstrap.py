"""Means over users with intervals, by the Poisson bootstrap (Hanley and MacGibbon 2006): one pass, seeded by user."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from offerlake.randomness import uniform

Ints = npt.NDArray[np.int64]

ALL = ("", "")
"""The group of all rows."""
_UNIT = 1e9  # values are summed as whole billionths: exact, and the same in whatever order
_CDF = tuple(float(sum(math.exp(-1) / math.factorial(i) for i in range(j + 1))) for j in range(10))


@dataclass(frozen=True)
class Estimate:
    """A mean with its 95 % interval; None where there is nothing to take the mean of."""

    value: float | None
    low: float | None
    high: float | None


def poisson(seed: int, purpose: str, *keys: Column) -> Column:
    """A Poisson draw with mean 1, at most 10 (beyond that less than one in a hundred million)."""
    draw = uniform(seed, purpose, *keys)
    count = F.lit(0)
    for limit in _CDF:
        count = count + (draw > F.lit(limit)).cast("int")
    return count


def poisson_means(frame: DataFrame, *, key: str, samples: int, seed: int) -> tuple[int, dict[str, Estimate]]:
    """The mean of every column, with the 2.5 and 97.5 % quantiles of the means of `samples` reweighted samples.

    Args:
        frame: One row a `key`; the other columns are numbers, |x| < 10⁶.
        key: The unit that is drawn.
        samples: Bootstrap samples.
        seed: Of the draws.

    Returns:
        Rows of the frame, and column to estimate.
    """
    return poisson_groups(frame, key=key, by=(), samples=samples, seed=seed)[ALL]


def poisson_groups(
    frame: DataFrame, *, key: str, by: Sequence[str], samples: int, seed: int
) -> dict[tuple[str, str], tuple[int, dict[str, Estimate]]]:
    """`poisson_means` of all rows and within each value of some columns, in the same pass and by the same draws.

    Args:
        frame: As for `poisson_means`, with the columns `by`.
        key: The unit that is drawn.
        by: Columns of strings with few values; rows without a value count among all.
        samples: Bootstrap samples.
        seed: Of the draws.

    Returns:
        ALL, and each column of `by` and value of it, to rows and column to estimate.
    """
    names = [name for name in frame.columns if name not in {key, *by}]
    parts = [F.round(F.col(f"`{name}`") * _UNIT).cast("bigint").alias(name) for name in names]
    weight = F.when(F.col("_sample") == 0, 1).otherwise(poisson(seed, "bootstrap", F.col("_sample"), F.col(key)))
    rows = (
        frame.select(key, *by, *parts)
        .withColumn("_sample", F.explode(F.sequence(F.lit(0), F.lit(samples))))
        .withColumn("_weight", weight)
        .groupBy(*by, "_sample")
        .agg(F.sum("_weight"), *[F.sum(F.col("_weight") * F.col(f"`{name}`")) for name in names])
        .collect()
    )
    sums: dict[tuple[str, str], Ints] = {ALL: np.zeros((samples + 1, 1 + len(names)), dtype=np.int64)}
    for row in rows:
        of_row = [(column, row[column]) for column in by if row[column] is not None]
        for group in (ALL, *of_row):
            sums.setdefault(group, np.zeros_like(sums[ALL]))[row["_sample"]] += row[len(by) + 1 :]
    return {group: (int(table[0, 0]), _estimates(table, names)) for group, table in sorted(sums.items())}


def _estimates(sums: Ints, names: Sequence[str]) -> dict[str, Estimate]:
    """Of the sum of weights and the weighted sums of each sample, the first the rows as they are."""
    if not sums[0, 0]:
        return dict.fromkeys(names, Estimate(None, None, None))
    drawn = sums[sums[:, 0] > 0]
    means = drawn[:, 1:] / drawn[:, :1] / _UNIT
    low, high = np.quantile(means[1:] if len(means) > 1 else means, [0.025, 0.975], axis=0)
    return {name: Estimate(float(means[0, i]), float(low[i]), float(high[i])) for i, name in enumerate(names)}
