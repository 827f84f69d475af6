"""Calibration: known distortions are undone."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from pyspark.sql import SparkSession
from pyspark.sql import functions as F

from offerlake.response.calibration import Bins, Calibration, binned, fit, pooled, slope_of, unsampled


def _bins(slope: float, level: float, rows: float = 1e5) -> Bins:
    """Predictions whose true log-odds are slope × predicted + level."""
    odds = np.linspace(-5, 1, 60)
    size = np.full(60, rows)
    return Bins(odds=odds, rows=size, ones=size / (1 + np.exp(-(slope * odds + level))))


def test_platt_undoes_a_slope_and_a_level() -> None:
    found = fit(_bins(0.5, -1.0), method="platt")
    assert found.y[1] - found.y[0] == pytest.approx(0.5 * (found.x[1] - found.x[0]), rel=1e-3)
    assert (found.y[0] + found.y[1]) / 2 == pytest.approx(-1.0, abs=1e-3)
    assert slope_of(_bins(0.5, -1.0)) == pytest.approx(0.5, rel=1e-3)


def test_with_few_rows_of_a_label_only_the_level_moves() -> None:
    few = Bins(odds=np.array([-2.0, 0.0]), rows=np.array([100.0, 20.0]), ones=np.array([2.0, 8.0]))
    found = fit(few, method="isotonic")
    assert found.method == "platt"
    assert found.y[1] - found.y[0] == pytest.approx(found.x[1] - found.x[0])


def test_isotonic_pools_what_does_not_rise() -> None:
    odds = np.array([-3.0, -2.0, -1.0, 0.0])
    found = fit(Bins(odds, np.full(4, 100.0), np.array([5.0, 30.0, 20.0, 60.0])), method="isotonic")
    # The second and third bin pool to 25 %; blocks get half a row of each label.
    assert found.x == pytest.approx((-3.0, -1.5, 0.0))
    shares = [(5.5, 95.5), (50.5, 150.5), (60.5, 40.5)]
    assert found.y == pytest.approx([np.log(a / b) for a, b in shares])


def test_one_class_only_gives_no_slope_and_a_finite_map() -> None:
    none = Bins(odds=np.array([-2.0, 0.0]), rows=np.array([100.0, 20.0]), ones=np.zeros(2))
    assert slope_of(none) is None
    found = fit(none, method="platt")
    assert np.isfinite(found.y).all()
    assert found.y[0] < -3


@pytest.mark.parametrize("method", ["platt", "isotonic"])
def test_column_is_linear_between_knots(spark: SparkSession, method: str) -> None:
    content = {"method": method, "x": [-2.0, 0.0, 1.0], "y": [-3.0, 0.0, 0.5]}
    if method == "platt":
        content = {"method": method, "x": [-2.0, 0.0], "y": [-3.0, 0.0]}
    calibration = Calibration.of(json.loads(json.dumps(content)))
    assert Calibration.of(json.loads(json.dumps(calibration.as_dict()))) == calibration
    odds = np.array([-4.0, -1.0, 0.5, 3.0])
    frame = spark.createDataFrame([(float(1 / (1 + np.exp(-o))),) for o in odds], "p double")
    got = [row[0] for row in frame.select(calibration.column(F.col("p"))).collect()]
    want = np.interp(odds, content["x"], content["y"]) if method == "isotonic" else 1.5 * odds
    assert got == pytest.approx(list(1 / (1 + np.exp(-want))), rel=1e-6)


def test_bins_count_rows_and_labels_by_group(spark: SparkSession) -> None:
    rows = [("a", 0.5, 1), ("a", 0.5, 0), ("a", 0.9, 1), ("b", 0.1, 0)]
    found = binned(spark.createDataFrame(rows, "g string, p double, y int"), probability="p", label="y", by="g")
    assert list(found["a"].rows) == [2, 1]
    assert list(found["a"].ones) == [1, 1]
    assert found["a"].odds == pytest.approx([0.02, np.log(9)], abs=0.03)
    assert list(pooled([found["a"], found["b"]]).rows) == [1, 2, 1]


@settings(
    max_examples=10,
    deadline=None,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(
    true=st.lists(st.floats(0, 1), min_size=2, max_size=50).map(lambda each: sorted({0.0, 1.0, *each})),
    rate=st.floats(0.001, 1),
)
def test_what_sampling_does_to_a_probability_is_undone(spark: SparkSession, true: list[float], rate: float) -> None:
    """By Bayes a row has label 1 among the kept ones with q / (q + (1 − q) w); the way back is exact and rises."""
    shares = np.array(true)
    kept = shares / (shares + (1 - shares) * rate)
    frame = spark.createDataFrame(
        [(float(p), float(q)) for p, q in zip(kept, shares, strict=True)], "p double, q double"
    )
    back = frame.orderBy("q").select(
        unsampled(F.col("p"), negative_rate=F.lit(rate)), unsampled(F.col("q"), negative_rate=F.lit(1.0))
    )
    got = np.array([tuple(row) for row in back.collect()])
    assert got[:, 0] == pytest.approx(shares, abs=1e-12, rel=0)
    assert got[:, 1] == pytest.approx(shares, abs=1e-12, rel=0), "where all are kept nothing changes"
    assert (np.diff(got[:, 0]) >= 0).all()
    assert got[[0, -1], 0].tolist() == [0.0, 1.0]
