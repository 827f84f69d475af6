"""BG/NBD against the published fit, against plain sums in high precision, and against customers who were simulated."""

from __future__ import annotations

import mpmath
import numpy as np
import pytest
from scipy.optimize import minimize
from scipy.special import gammaln

from offerlake.errors import DataError
from offerlake.value.bgnbd import PARAMETERS, BgNbd, Histories, expected_purchases, fit, log_likelihood, p_alive
from offerlake.value.likelihood import Numbers
from value import made

CDNOW = BgNbd(r=0.243, alpha=4.414, a=0.793, b=2.426, log_likelihood=0.0, errors=(0.0,) * 4, customers=0)
TRUE = {"r": 0.6, "alpha": 5.0, "a": 0.8, "b": 3.0}


def model(r: float, alpha: float, a: float, b: float) -> BgNbd:
    return BgNbd(r, alpha, a, b, log_likelihood=0.0, errors=(0.0,) * 4, customers=0)


def test_cdnow_gives_the_published_parameters() -> None:
    found = fit(made.cdnow_histories())

    assert [round(getattr(found, name), 3) for name in PARAMETERS] == [0.243, 4.414, 0.793, 2.426]
    assert found.log_likelihood == pytest.approx(-9582.4, abs=0.05)
    assert found.customers == 2357
    assert found.unidentified == ()
    # Hardie's worked example: 2 repeats, the last after 30.43 of 38.86 weeks, in the next 39 weeks.
    ahead = expected_purchases(found, *(np.array([x]) for x in (2.0, 30.43, 38.86)), horizon=39.0)
    assert ahead[0] == pytest.approx(1.226, abs=5e-4)


def test_standard_errors_are_those_of_samples_of_the_same_customers() -> None:
    """The bootstrap of CDNOW's customers, 30 samples: a standard error of its own of 13 %."""
    whole = made.cdnow_histories()
    random = np.random.default_rng(1)
    drawn = []
    for _ in range(30):
        weights = random.multinomial(2357, whole.customers / 2357).astype(float)
        kept = weights > 0
        sample = Histories(whole.frequency[kept], whole.recency[kept], whole.age[kept], weights[kept])
        found = fit(sample)
        drawn.append([np.log(getattr(found, name)) for name in PARAMETERS])
    assert np.std(drawn, axis=0, ddof=1) == pytest.approx(np.array(fit(whole).errors), rel=0.5)


def _plain(parameters: Numbers, of: Histories) -> float:
    """The likelihood as the paper has it, customer by customer, products and powers and all."""
    r, alpha, a, b = parameters
    x, recency, age = of.frequency, of.recency, of.age
    first = gammaln(r + x) + r * np.log(alpha) - gammaln(r)
    second = gammaln(a + b) + gammaln(b + x) - gammaln(b) - gammaln(a + b + x)
    third = (1 / (alpha + age)) ** (r + x)
    fourth = np.where(x > 0, a / (b + np.maximum(x, 1) - 1) * (1 / (alpha + recency)) ** (r + x), 0.0)
    return float(of.customers @ (first + second + np.log(third + fourth)))


def test_another_search_over_the_plain_likelihood_ends_no_higher() -> None:
    """Log-likelihood to 1e-6 relative, expected purchases to 0.5 %, on customers who are not CDNOW's."""
    customers = made.simulate(4000, r=0.9, alpha=8.0, a=1.5, b=6.0, age=60, ahead=0, seed=11)
    histories = made.grouped(customers)
    found = fit(histories)

    def loss(logs: Numbers) -> float:
        return -_plain(np.exp(logs), histories)

    options = {"maxiter": 4000, "maxfev": 4000, "xatol": 1e-9, "fatol": 1e-9}
    other = minimize(loss, np.log([1.0, 5.0, 1.0, 5.0]), method="Nelder-Mead", options=options)

    assert found.log_likelihood == pytest.approx(-other.fun, rel=1e-6)
    assert found.log_likelihood >= -other.fun - 1e-5
    history = (histories.frequency, histories.recency, histories.age)
    ours = expected_purchases(found, *history, horizon=26.0)
    theirs = expected_purchases(model(*np.exp(other.x)), *history, horizon=26.0)
    assert ours == pytest.approx(theirs, rel=5e-3)


def test_the_gradient_is_that_of_the_likelihood() -> None:
    histories, logs, step = made.cdnow_histories(), np.log([0.4, 3.0, 0.5, 4.0]), 1e-6
    _, gradient = log_likelihood(np.exp(logs), histories)
    for place, unit in enumerate(np.eye(4)):
        up, down = (log_likelihood(np.exp(logs + sign * step * unit), histories)[0] for sign in (1, -1))
        assert gradient[place] == pytest.approx((up - down) / (2 * step), rel=1e-4)


def test_simulated_customers_give_back_what_made_them() -> None:
    """10,000 customers: within three standard errors, which are below 15 %; purchases ahead within 3 %."""
    customers = made.simulate(10_000, **TRUE, age=60, ahead=30, seed=5)
    found = fit(made.grouped(customers))

    assert max(found.errors) < 0.15
    for name, error in zip(PARAMETERS, found.errors, strict=True):
        assert abs(np.log(getattr(found, name) / TRUE[name])) < 3 * error, name
    history = (customers.frequency, customers.recency, customers.age)
    alive, ahead = p_alive(found, *history), expected_purchases(found, *history, horizon=30.0)
    assert ahead.sum() == pytest.approx(customers.later.sum(), rel=0.03)
    for frequent in (customers.frequency == 0, customers.frequency == 2, customers.frequency > 5):
        assert ahead[frequent].mean() == pytest.approx(customers.later[frequent].mean(), rel=0.12)
        assert alive[frequent].mean() == pytest.approx(customers.alive[frequent].mean(), abs=0.02)


def test_the_order_of_the_rows_and_shared_rows_change_nothing() -> None:
    customers = made.simulate(3000, **TRUE, age=60, ahead=0, seed=6)
    history = np.column_stack([customers.frequency, np.ceil(customers.recency), np.ceil(customers.age)])
    single = fit(Histories(*history.T, np.ones(len(history))))
    mixed = fit(Histories(*history[np.random.default_rng(2).permutation(len(history))].T, np.ones(len(history))))
    rows, counts = np.unique(history, axis=0, return_counts=True)
    counted = fit(Histories(*rows.T, counts.astype(float)))
    assert len(rows) < 0.7 * len(history)
    for name in PARAMETERS:
        assert getattr(mixed, name) == pytest.approx(getattr(single, name), rel=1e-5)
        assert getattr(counted, name) == pytest.approx(getattr(single, name), rel=1e-5)


def test_the_unit_of_time_changes_nothing_but_alpha() -> None:
    weeks = made.cdnow_histories()
    in_weeks, in_days = fit(weeks), fit(Histories(weeks.frequency, weeks.recency * 7, weeks.age * 7, weeks.customers))
    assert in_days.alpha == pytest.approx(7 * in_weeks.alpha, rel=1e-5)
    assert (in_days.r, in_days.a, in_days.b) == pytest.approx((in_weeks.r, in_weeks.a, in_weeks.b), rel=1e-5)


def test_parameters_that_the_customers_do_not_tell_are_flagged() -> None:
    """Nobody drops out; or everybody with the same chance: only what differs between customers is told."""
    loyal = made.simulate(3000, r=1.0, alpha=4.0, a=1e-9, b=5.0, age=60, ahead=30, seed=3)
    found = fit(made.grouped(loyal))
    assert {"a", "b"} & set(found.unidentified)
    assert not {"r", "alpha"} & set(found.unidentified)
    history = (loyal.frequency, loyal.recency, loyal.age)
    assert expected_purchases(found, *history, horizon=30.0).sum() == pytest.approx(loyal.later.sum(), rel=0.03)

    alike = made.simulate(3000, r=1.0, alpha=4.0, a=2e5, b=8e5, age=60, ahead=30, seed=4)
    found = fit(made.grouped(alike))
    assert set(found.unidentified) >= {"a", "b"}
    assert found.a / (found.a + found.b) == pytest.approx(0.2, abs=0.01)

    nobody_came_back = Histories(*(np.array([x]) for x in (0.0, 0.0, 30.0, 500.0)))
    assert set(fit(nobody_came_back).unidentified) >= {"a", "b"}


def _closed(made_by: BgNbd, x: float, age: float, horizon: float) -> float:
    """Equation 10 for who is alive, with 60 digits."""
    with mpmath.workdps(60):
        r, alpha, a, b, x, age, horizon = (
            mpmath.mpf(value) for value in (made_by.r, made_by.alpha, made_by.a, made_by.b, x, age, horizon)
        )
        whole = alpha + age + horizon
        series = mpmath.hyp2f1(r + x, b + x, a + b + x - 1, horizon / whole)
        return float((a + b + x - 1) / (a - 1) * (1 - ((alpha + age) / whole) ** (r + x) * series))


@pytest.mark.parametrize(
    ("made_by", "x", "age", "horizon"),
    [
        (CDNOW, 2, 38.86, 39.0),
        (CDNOW, 0, 0.14, 520.0),  # a newcomer, ten years ahead
        (model(0.5, 2.0, 1.0000001, 3.0), 4, 20.0, 52.0),  # the formula divides by a − 1
        (model(0.5, 0.01, 0.9, 0.05), 0, 0.14, 52.0),  # a + b + x − 1 below 0
        (model(50.0, 30.0, 2.0, 1.0), 0, 10.0, 52.0),  # all buy alike
        (model(1e4, 1e4, 5.0, 5.0), 100, 52.0, 500.0),
        (model(0.2, 5.0, 1e-4, 0.5), 3, 30.0, 52.0),  # nobody leaves
        (model(3.0, 2.0, 900.0, 8000.0), 300, 52.0, 52.0),  # all leave alike
        (model(1.0, 5.0, 0.5, 2.0), 3000, 104.0, 52.0),  # the formula overflows
    ],
)
def test_expected_purchases_are_the_papers_formula(made_by: BgNbd, x: float, age: float, horizon: float) -> None:
    history = tuple(np.array([float(value)]) for value in (x, age if x else 0.0, age))
    found = expected_purchases(made_by, *history, horizon=horizon) / p_alive(made_by, *history)
    assert found[0] == pytest.approx(_closed(made_by, x, age, horizon), rel=1e-9)


def test_who_is_alive() -> None:
    x = np.array([0.0, 2.0, 2.0, 400.0, 1e5])
    recency, age = np.array([0.0, 30.0, 3.0, 30.0, 30.0]), np.full(5, 40.0)
    alive = p_alive(CDNOW, x, recency, age)
    assert alive[0] == 1.0
    assert alive[1] > 0.7
    assert 0.05 < alive[2] < 0.5
    assert 0 <= alive[3] < 1e-30, "someone so frequent would have been back by now"
    assert alive[4] == 0.0, "and no overflow"
    assert p_alive(CDNOW, x, age, age)[1:] == pytest.approx(1 / (1 + CDNOW.a / (CDNOW.b + x[1:] - 1)), rel=1e-12), (
        "no time has passed since the last purchase"
    )


@pytest.mark.parametrize(
    ("frequency", "recency", "age", "told"),
    [
        (1, 5, 4, "recency 5, age 4"),
        (0, 1, 4, "frequency 0, recency 1"),
        (1, 0, 0, "age 0"),
        (-1, 0, 3, "frequency -1"),
    ],
)
def test_histories_that_cannot_be_are_refused(frequency: float, recency: float, age: float, told: str) -> None:
    rows = (np.array([float(value)]) for value in (frequency, recency, age, 1.0))
    with pytest.raises(DataError, match=told):
        fit(Histories(*rows))
    with pytest.raises(DataError, match="got no customers"):
        fit(Histories(*(np.array([]) for _ in range(4))))
