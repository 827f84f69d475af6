"""Gamma-gamma against the published fit of CDNOW and simulated customers."""

from __future__ import annotations

import numpy as np
import pytest

from offerlake.errors import DataError
from offerlake.value.gammagamma import GammaGamma, Spendings, expected_value, fit, log_likelihood
from value import made


def test_cdnow_gives_the_published_parameters() -> None:
    found = fit(made.cdnow_spendings())

    assert (round(found.p, 2), round(found.q, 2), round(found.v, 2)) == (6.25, 3.74, 15.45)
    assert found.customers == 946
    assert found.unidentified == ()
    assert found.p * found.v / (found.q - 1) == pytest.approx(35.2, abs=0.1)
    assert made.cdnow_spendings().correlation == pytest.approx(0.11, abs=0.005)


def test_the_gradient_is_that_of_the_likelihood() -> None:
    spendings, logs, step = made.cdnow_spendings(), np.log([5.0, 2.0, 20.0]), 1e-6

    def value(logs: np.ndarray) -> float:
        p, above, v = np.exp(logs)
        return log_likelihood(np.array([p, 1 + above, v]), spendings)[0]

    gradient = log_likelihood(np.array([5.0, 3.0, 20.0]), spendings)[1]
    for place, unit in enumerate(np.eye(3)):
        numeric = (value(logs + step * unit) - value(logs - step * unit)) / (2 * step)
        assert gradient[place] == pytest.approx(numeric, rel=1e-4)


def test_simulated_customers_give_back_what_made_them() -> None:
    """10,000 customers: within three standard errors; the values to come of who has spent most, within 3 %."""
    p, q, v = 4.0, 5.0, 30.0
    random = np.random.default_rng(9)
    scale = 1 / random.gamma(q, 1 / v, 10_000)
    x = random.integers(1, 8, 10_000).astype(float)
    mean = random.gamma(p * x, scale) / x
    found = fit(Spendings(x, mean, np.log(mean), np.ones(10_000)))

    for name, truth, error in zip(("p", "q", "v"), (p, q, v), found.errors, strict=True):
        value = getattr(found, name)
        assert abs(np.log((value - 1) / (truth - 1) if name == "q" else value / truth)) < 3 * error
    expected = expected_value(found, x, mean)
    top = mean > np.quantile(mean, 0.9)
    assert expected[top].mean() == pytest.approx((p * scale)[top].mean(), rel=0.03)
    assert mean[top].mean() > 1.1 * expected[top].mean(), "what stood out was partly luck"


def test_who_has_nothing_to_go_by_is_like_all() -> None:
    model = GammaGamma(p=2.0, q=3.0, v=10.0, log_likelihood=0.0, errors=(0.0,) * 3, customers=1)
    found = expected_value(model, np.array([0.0, 1.0, 1000.0]), np.array([np.nan, 10.0, 40.0]))
    assert found == pytest.approx([10.0, 2 * (10 + 10) / 4, 2 * 40_010 / 2002])


def test_customers_all_alike_are_flagged() -> None:
    """One value for all: the spread over customers is 0, so that its parameters have no bound."""
    rows = Spendings(np.array([3.0, 5.0]), np.array([20.0, 20.0]), np.log([20.0, 20.0]), np.array([50.0, 50.0]))
    found = fit(rows)
    assert found.unidentified
    assert found.p * found.v / (found.q - 1) == pytest.approx(20.0, rel=1e-3)
    assert rows.correlation is None


def test_values_that_cannot_be_are_refused() -> None:
    one = np.array([1.0])
    with pytest.raises(DataError, match="got a value of 0 for 1 purchases"):
        fit(Spendings(one, 0 * one, one, one))
    with pytest.raises(DataError, match="no customers"):
        fit(Spendings(*(np.array([]) for _ in range(4))))
