"""Balance of arms: against NumPy, where they differ by what decided, and are alike once weighted by it."""

from __future__ import annotations

import numpy as np
import pytest
from pyspark.sql import SparkSession

from offerlake.errors import DataError
from offerlake.response.overlap import balance

ROWS = 6000


def test_arms_differ_by_what_decided_and_no_longer_when_weighted(spark: SparkSession) -> None:
    draws = np.random.default_rng(11)
    x = draws.standard_normal((ROWS, 2))
    chance = np.clip(1 / (1 + np.exp(-x[:, 0])), 0.1, 0.9)
    arm = (draws.uniform(size=ROWS) < chance).astype(int)
    e = np.column_stack([1 - chance, chance])
    frame = spark.createDataFrame(
        list(zip(x.tolist(), arm.tolist(), e.tolist(), strict=True)), "x array<double>, arm int, e array<double>"
    )

    (found,) = balance(frame)

    on, off = x[arm == 1], x[arm == 0]
    spread = np.sqrt((on.var(axis=0, ddof=1) + off.var(axis=0, ddof=1)) / 2)
    w1, w0 = 1 / chance[arm == 1], 1 / (1 - chance[arm == 0])
    assert found.offer == 1
    assert found.rows == len(on)
    assert found.effective == pytest.approx(w1.sum() ** 2 / (w1**2).sum())
    assert found.differences == pytest.approx((on.mean(axis=0) - off.mean(axis=0)) / spread)
    weighted = (np.average(on, axis=0, weights=w1) - np.average(off, axis=0, weights=w0)) / spread
    assert found.weighted == pytest.approx(weighted)
    assert found.least == pytest.approx(chance.min())
    assert found.differences[0] > 0.7
    assert np.abs(found.weighted).max() < 0.1


def test_an_arm_without_rows_is_told_of(spark: SparkSession) -> None:
    frame = spark.createDataFrame([([0.0], 0, [0.5, 0.5])], "x array<double>, arm int, e array<double>")

    with pytest.raises(DataError, match="arm 1: no rows"):
        balance(frame)
    with pytest.raises(DataError, match="no rows to compare"):
        balance(frame.limit(0))
