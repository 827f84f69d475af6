"""Means over users with intervals, by the Poisson bootstrap (Hanley and MacGibbon 2006): one pass, seeded by user."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from offerlake.randomness import uniform

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
    names = [name for name in frame.columns if name != key]
    parts = [F.round(F.col(f"`{name}`") * _UNIT).cast("bigint").alias(name) for name in names]
    weight = F.when(F.col("_sample") == 0, 1).otherwise(poisson(seed, "bootstrap", F.col("_sample"), F.col(key)))
    sums = (
        frame.select(key, *parts)
        .withColumn("_sample", F.explode(F.sequence(F.lit(0), F.lit(samples))))
        .withColumn("_weight", weight)
        .groupBy("_sample")
        .agg(F.sum("_weight"), *[F.sum(F.col("_weight") * F.col(f"`{name}`")) for name in names])
        .orderBy("_sample")
        .collect()
    )
    if not sums:
        return 0, dict.fromkeys(names, Estimate(None, None, None))
    table = np.array([[float(x) for x in row] for row in sums])
    drawn = table[table[:, 1] > 0]
    means = drawn[:, 2:] / drawn[:, 1:2] / _UNIT
    low, high = np.quantile(means[1:] if len(means) > 1 else means, [0.025, 0.975], axis=0)
    return int(table[0, 1]), {
        name: Estimate(float(means[0, i]), float(low[i]), float(high[i])) for i, name in enumerate(names)
    }
