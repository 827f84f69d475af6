"""AUC, log loss and Brier score, and the interval over users."""

from __future__ import annotations

import math

import numpy as np
import pyarrow as pa
import pytest
from pyspark.sql import DataFrame, SparkSession

from offerlake.accuracy import accuracy


def frame_of(spark: SparkSession, p: object, y: object, user: object) -> DataFrame:
    return spark.createDataFrame(pa.table({"p": p, "y": y, "user_id": user}))


def test_values_of_four_rows(spark: SparkSession) -> None:
    frame = frame_of(spark, [0.1, 0.4, 0.4, 0.8], [0, 0, 1, 1], ["a", "b", "c", "d"])
    found = accuracy(frame, probability="p", label="y", seed=1)
    assert (found.rows, found.positives) == (4, 2)
    assert found.auc == pytest.approx(3.5 / 4)
    assert found.log_loss == pytest.approx(-(math.log(0.9) + math.log(0.6) + math.log(0.4) + math.log(0.8)) / 4)
    assert found.brier == pytest.approx((0.01 + 0.16 + 0.36 + 0.04) / 4)


def test_interval_grows_when_a_user_s_rows_are_copies(spark: SparkSession) -> None:
    rng = np.random.default_rng(3)
    z = rng.normal(size=2000)
    y = (rng.random(2000) < 1 / (1 + np.exp(-z))).astype(int)
    p, users = 1 / (1 + np.exp(-z)), np.array([f"u{number}" for number in range(2000)])
    once = accuracy(frame_of(spark, p, y, users), probability="p", label="y", seed=1)
    four_times = accuracy(
        frame_of(spark, np.tile(p, 4), np.tile(y, 4), np.tile(users, 4)), probability="p", label="y", seed=1
    )
    intervals = [(found.auc_high or 0) - (found.auc_low or 0) for found in (once, four_times)]
    ranks = np.argsort(np.argsort(p)) + 1
    ones = y.sum()
    assert once.auc == pytest.approx((ranks[y == 1].sum() - ones * (ones + 1) / 2) / (ones * (2000 - ones)), abs=1e-4)
    # Hanley and McNeil (1982) for 2,000 independent rows give about 0.011.
    assert 0.008 < intervals[0] / (2 * 1.96) < 0.015
    assert intervals[1] == pytest.approx(intervals[0], rel=1e-6)


def test_what_is_not_defined_is_none(spark: SparkSession) -> None:
    frame = frame_of(spark, [0.2, None], [1, 0], ["a", "b"])
    found = accuracy(frame, probability="p", label="y", seed=1)
    assert (found.rows, found.auc, found.auc_low) == (1, None, None)
    assert found.log_loss == pytest.approx(-math.log(0.2))
    assert accuracy(frame.limit(0), probability="p", label="y", seed=1).log_loss is None
