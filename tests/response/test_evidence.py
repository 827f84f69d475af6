"""Regression from sums: nuisances taken out, blocks shrunk by what the data say."""

from __future__ import annotations

import numpy as np
import pytest

from offerlake.response.evidence import Sums, fit


def test_taking_nuisances_out_is_fitting_all_columns_together() -> None:
    draw = np.random.default_rng(0)
    nuisance, wanted = draw.normal(size=(400, 3)), draw.normal(size=(400, 2))
    wanted += nuisance[:, :2]
    outcome = nuisance @ [1.0, 2.0, 3.0] + wanted @ [0.5, -0.25] + draw.normal(size=400)
    weights = draw.uniform(0.5, 2, size=400)
    columns = np.hstack([nuisance, wanted])
    together = np.linalg.lstsq(columns * np.sqrt(weights)[:, None], outcome * np.sqrt(weights), rcond=None)[0]
    rest = Sums.of(columns, outcome, weights).without_first(3)
    np.testing.assert_allclose(np.linalg.solve(rest.gram, rest.moment), together[3:], rtol=1e-6)


def test_sums_of_parts_are_the_sums_of_the_whole() -> None:
    draw = np.random.default_rng(1)
    columns, outcome, weights = draw.normal(size=(50, 3)), draw.normal(size=50), np.ones(50)
    whole = Sums.of(columns, outcome, weights)
    parts = Sums.of(columns[:20], outcome[:20], weights[:20]) + Sums.of(columns[20:], outcome[20:], weights[20:])
    np.testing.assert_allclose(parts.gram, whole.gram)
    np.testing.assert_allclose(parts.moment, whole.moment)
    assert parts.square == pytest.approx(whole.square)
    assert parts.rows == whole.rows == 50


def test_a_block_that_explains_nothing_vanishes_beside_one_that_does() -> None:
    draw = np.random.default_rng(2)
    columns = draw.normal(size=(5000, 20))
    truth = np.concatenate([draw.normal(size=10), np.zeros(10)])
    outcome = columns @ truth + 3 * draw.normal(size=5000)
    found = fit(Sums.of(columns, outcome, np.ones(5000)), [10, 10], spread=1.0)
    np.testing.assert_allclose(found.coefficients[:10], truth[:10], atol=0.15)
    assert np.abs(found.coefficients[10:]).max() < 0.05
    assert found.spreads[0] == pytest.approx(np.sqrt((truth[:10] ** 2).mean()), rel=0.1)
    assert found.spreads[1] < 0.05
    assert found.variance == pytest.approx(9, rel=0.1)


def test_columns_that_never_change_are_harmless() -> None:
    columns = np.column_stack([np.zeros(100), np.linspace(-1, 1, 100)])
    found = fit(Sums.of(columns, 2 * columns[:, 1], np.ones(100)), [1, 1], spread=1.0)
    assert found.coefficients[0] == 0
    assert found.coefficients[1] == pytest.approx(2, rel=1e-3)
