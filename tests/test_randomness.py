"""Seeded draws: the same for the same key, uniform, and independent from purpose to purpose."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
from pyspark.sql import Column, SparkSession
from pyspark.sql import functions as F

from offerlake.randomness import exponential, fold, normal, uniform

N = 20_000


def _draws(spark: SparkSession, *columns: Column, parts: int = 2) -> npt.NDArray[np.float64]:
    frame = spark.range(0, N, 1, parts).select(F.col("id").cast("string").alias("id")).select("id", *columns)
    return frame.toPandas().set_index("id").sort_index().to_numpy(dtype=np.float64)


def test_a_draw_does_not_depend_on_partitions_or_order(spark: SparkSession) -> None:
    one = _draws(spark, uniform(7, "holdout", F.col("id")), parts=1)
    many = _draws(spark, uniform(7, "holdout", F.col("id")), parts=5)
    assert np.array_equal(one, many)


def test_a_draw_is_fixed_for_good(spark: SparkSession) -> None:
    """A release that changed these would change every holdout."""
    row = spark.range(1).select(
        uniform(1, "holdout", F.lit("u1")), uniform(1, "fold", F.lit("u1")), fold(7, "fold", 5, F.lit("u1"))
    ).first()  # fmt: skip
    assert row is not None
    assert tuple(row) == (0.8559845730504192, 0.7867893326847712, 2)


def test_uniform_is_uniform_and_open(spark: SparkSession) -> None:
    (draws,) = _draws(spark, uniform(7, "x", F.col("id"))).T
    assert draws.min() > 0
    assert draws.max() < 1
    counts = np.histogram(draws, bins=20, range=(0, 1))[0]
    # 19 degrees of freedom: 43.8 is exceeded once in a thousand seeds.
    assert ((counts - N / 20) ** 2 / (N / 20)).sum() < 43.8


@pytest.mark.parametrize("other", [(7, "fold"), (8, "holdout")])
def test_another_purpose_or_seed_is_independent(spark: SparkSession, other: tuple[int, str]) -> None:
    both = _draws(spark, uniform(7, "holdout", F.col("id")).alias("a"), uniform(*other, F.col("id")).alias("b"))
    # Of independent draws the correlation has a standard deviation of 1 / sqrt(N) = 0.007.
    assert abs(np.corrcoef(both.T)[0, 1]) < 0.03
    held, kept = both[both[:, 0] < 0.05, 1], both[both[:, 0] >= 0.05, 1]
    assert abs(held.mean() - kept.mean()) < 0.04


def test_normal_and_exponential_have_their_moments(spark: SparkSession) -> None:
    bell, wait = _draws(spark, normal(7, "n", F.col("id")).alias("n"), exponential(7, "e", F.col("id")).alias("e")).T
    assert bell.mean() == pytest.approx(0, abs=0.03)
    assert bell.std() == pytest.approx(1, abs=0.03)
    assert (bell**4).mean() == pytest.approx(3, abs=0.25)
    assert wait.mean() == pytest.approx(1, abs=0.03)
    assert wait.std() == pytest.approx(1, abs=0.05)
    assert wait.min() > 0


def test_folds_are_even_and_each_key_has_one(spark: SparkSession) -> None:
    first, again = _draws(spark, *[fold(7, "fold", 4, F.col("id")).alias(name) for name in ("a", "b")]).T
    assert np.array_equal(first, again)
    assert set(first) == {0, 1, 2, 3}
    assert np.bincount(first.astype(int)) / N == pytest.approx([0.25] * 4, abs=0.015)
