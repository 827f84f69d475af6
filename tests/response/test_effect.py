"""The effect model on planted effects: found where they are, none where there are none."""

from __future__ import annotations

import json

import numpy as np
import pyarrow as pa
import pytest

from offerlake.response.design import BASE, Design
from offerlake.response.effect import Effect, Slope, fit_effect
from offerlake.response.evidence import Sums
from offerlake.response.features import USER_NUMBERS, Numbers

DESIGN = Design(
    numbers={"orders_84d": (1.0, 0.5), BASE: (-3.0, 0.5)},
    likings={"gift": (0.5, 0.2), "percent_off": (0.1, 0.1)},
    scope=(0.2, 0.1),
    typical=50.0,
    offers=("g", "p"),
    dose_scale=0.12,
)


def _rows(**columns: list[object]) -> pa.StructArray:
    terms = ("discount_rate", "fixed_cost", "scoped", "kind_affinity", "scope_affinity", "typical_order_value")
    doubles = pa.list_(pa.float64())
    numbers = [columns.get(name, [None] * len(columns[BASE])) for name in (*USER_NUMBERS, BASE)]
    x = pa.array([list(row) for row in zip(*numbers, strict=True)], doubles)
    t = pa.array([list(row) for row in zip(*[columns[name] for name in terms], strict=True)], doubles)
    named = {"x": x, "t": t, "kind": pa.array(columns["kind"]), "offer_id": pa.array(columns["offer_id"], pa.string())}
    return pa.StructArray.from_arrays(list(named.values()), names=list(named))


FIVE = _rows(
    orders_84d=[np.expm1(1.5), None, np.inf, np.expm1(1.0), 0.0],
    p_no_offer=[1 / (1 + np.exp(3.0))] * 4 + [1 / (1 + np.exp(2.5))],
    kind=["none", "gift", "percent_off", "percent_off", "points"],
    offer_id=[None, "g", "p", "other", "q"],
    discount_rate=[0.0, 0.0, 0.12, 0.0, 0.0],
    fixed_cost=[0.0, 6.0, 0.0, 0.0, 0.0],
    scoped=[0.0, 0.0, 1.0, 0.0, 0.0],
    kind_affinity=[0.0, np.expm1(0.7), np.expm1(0.1), 0.0, 0.3],
    scope_affinity=[0.0, 1.0, 0.4, 1.0, 1.0],
    typical_order_value=[None, None, 50.0, 50.0, 0.0],
)


def test_users_are_standardised_and_missing_numbers_are_average() -> None:
    np.testing.assert_allclose(DESIGN.users(FIVE), [[1, 0], [0, 0], [0, 0], [0, 0], [-2, 1]], atol=1e-9)


def test_offers_are_described_and_nothing_is_nothing() -> None:
    terms = dict(zip(DESIGN.terms, DESIGN.offer_terms(FIVE).T, strict=True))
    one = 1 - np.exp(-1)
    assert list(terms["contact"]) == [0, 1, 1, 1, 1]
    np.testing.assert_allclose(terms["dose"], [0, one, one, 0, 0])
    np.testing.assert_allclose(terms["liking"], [0, 1, 0, -1, 0], atol=1e-9)
    np.testing.assert_allclose(terms["scope"], [0, 0, 2, 0, 0], atol=1e-9)
    np.testing.assert_allclose(terms["dose·scoped"], [0, 0, one, 0, 0])
    np.testing.assert_allclose(terms["dose·liking²"], [0, one, 0, 0, 0], atol=1e-9)
    assert list(terms["kind=percent_off"]) == [0, 0, 1, 1, 0]
    assert list(terms["offer=p"]) == [0, 0, 1, 0, 0]
    assert list(terms["offer=g"]) == [0, 1, 0, 0, 0]


def test_effect_is_the_products_times_the_coefficients() -> None:
    users, terms = DESIGN.users(FIVE), DESIGN.offer_terms(FIVE)
    products = DESIGN.products(users, terms)
    assert products.shape == (5, sum(DESIGN.widths))
    coefficients = np.random.default_rng(0).normal(size=products.shape[1])
    of_users = DESIGN.user_effects(users, coefficients)
    np.testing.assert_allclose(DESIGN.effect(of_users, terms, coefficients), products @ coefficients)


def test_design_and_effect_survive_json() -> None:
    assert Design.of(json.loads(json.dumps(DESIGN.as_dict()))) == DESIGN
    effect = Effect((np.array([0.1]),), Slope(1.0, 0.1), Slope(0.0, float("inf")), {"contact": 0.01})
    again = Effect.of(json.loads(json.dumps(effect.as_dict(), allow_nan=False)))
    assert again.as_dict() == effect.as_dict()


@pytest.mark.parametrize(
    ("value", "error", "share"), [(0.8, 0.1, 0.8), (1.3, 0.2, 1.0), (0.5, 0.3, 0.0), (-1.0, 0.1, 0.0)]
)
def test_only_what_held_out_users_confirm_is_handed_on(value: float, error: float, share: float) -> None:
    assert Slope(value, error).share == share


def _planted(*, strength: float, seed: int, rows: int = 60_000) -> tuple[list[Sums], Numbers, Numbers]:
    """Sums by fold, the products of the treated rows, and their true effects."""
    draw = np.random.default_rng(seed)
    users = draw.normal(size=(rows, 2))
    terms = np.zeros((rows, len(DESIGN.terms)))
    arm = draw.choice(3, size=rows)
    dose = np.array([0.0, 0.4, 0.8])[arm]
    terms[:, 0], terms[:, 1] = arm > 0, dose
    terms[arm == 1, DESIGN.terms.index("offer=g")] = 1
    terms[arm == 2, DESIGN.terms.index("offer=p")] = 1
    effect = strength * (-0.01 * terms[:, 0] + dose * (0.05 + 0.03 * users[:, 0]))
    chance = 0.05 + 0.01 * users[:, 1].clip(-2, 2) + effect
    outcome = (draw.random(rows) < chance) - 0.05
    products = DESIGN.products(users, terms)
    columns = np.hstack([np.ones((rows, 1)), users, products])
    fold = np.arange(rows) % 2
    sums = [Sums.of(columns[fold == k], outcome[fold == k], np.ones(rows // 2)) for k in range(2)]
    return sums, products, effect


def test_planted_effects_are_found() -> None:
    sums, products, truth = _planted(strength=1.0, seed=3)
    found = fit_effect(sums, DESIGN, periods=1)
    for coefficients in found.coefficients:
        predicted = products @ coefficients
        assert np.sqrt(((predicted - truth) ** 2).mean()) < 0.005
        assert np.corrcoef(predicted, truth)[0, 1] > 0.97
    assert found.averages.value == pytest.approx(1, abs=0.15)
    assert found.deviations.value == pytest.approx(1, abs=0.15)
    assert found.spreads["dose × user"] > 5 * found.spreads["dose·liking × user"]


def test_without_effects_none_is_handed_on() -> None:
    handed_on = 0
    for seed in range(10):
        sums, products, _ = _planted(strength=0.0, seed=seed, rows=20_000)
        found = fit_effect(sums, DESIGN, periods=1)
        handed_on += any(np.abs(products @ part).max() > 1e-12 for part in found.coefficients)
    assert handed_on <= 1
