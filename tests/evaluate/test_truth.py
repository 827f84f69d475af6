"""The shares of the oracle, on arrays whose answer is known."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

from offerlake.decide.hull import assign_here
from offerlake.evaluate.ceiling import feature_matrix, fit_ceiling
from offerlake.evaluate.oracle import Arm, assemble
from offerlake.evaluate.truth import (
    Number,
    Shop,
    arm_average,
    choose_all,
    gains,
    oracle_budget,
    oracle_shares,
    spend,
)
from offerlake.schemas.gold import USER_FEATURE_COLUMNS


def shop(true_value: Any, true_cost: Any, **fields: Any) -> Shop:
    """A shop whose model knows the truth, all else zero."""
    value, cost = np.array(true_value, dtype=float), np.array(true_cost, dtype=float)
    zero = np.zeros_like(value)
    defaults = {
        "value": value, "cost": cost, "p_response": zero, "p_no_offer": zero[:, 0], "order_margin": zero,
        "redemption_cost": zero, "contact_cost": zero, "arm_effect": zero[0], "arm_use": zero[0],
        "rule_order": zero[:, 0], "rule_offer": -1, "ceiling_value": None, "ceiling_cost": None,
        "published": np.full(len(value), -1),
    }  # fmt: skip
    return Shop(true_value=value, true_cost=cost, **{**defaults, **fields})


FOUR = shop(
    [[4.0, 5.0], [1.0, -1.0], [2.0, 2.5], [-3.0, -1.0]],
    [[1.0, 2.0], [1.0, 1.0], [2.0, 1.0], [1.0, 1.0]],
)


def test_budget_is_half_of_what_the_oracle_would_spend() -> None:
    assert oracle_budget(FOUR) == (2.0 + 1.0 + 1.0) / 2


def test_every_policy_goes_down_its_own_order_until_the_true_cost_is_reached() -> None:
    chosen = choose_all(
        shop(
            FOUR.true_value,
            FOUR.true_cost,
            # The model has the third user first, and is wrong about the fourth.
            value=np.array([[2.0, 2.0], [0.0, 0.0], [0.0, 9.0], [5.0, 0.0]]),
            cost=np.ones((4, 2)),
            p_response=np.array([[0.1, 0.3], [0.2, 0.1], [0.1, 0.1], [0.9, 0.1]]),
            order_margin=np.full((4, 2), 10.0),
            rule_order=np.array([1.5, 3.2, 0.1, 2.0]),
            rule_offer=0,
        ),
        assign=assign_here,
        budget=2.0,
        seed=1,
    )
    # Value per cost: user 0 to offer 0 (4), user 2 to offer 1 (2.5), then 1 and 1.
    assert list(chosen["oracle"]) == [0, -1, 1, -1]
    assert list(chosen["model"]) == [-1, -1, 1, 0]
    # p_response × margin − cost: 8 for user 3, 2 for user 0, whose true cost of 2 no longer fits.
    assert list(chosen["response_ranked"]) == [-1, -1, -1, 0]
    assert list(chosen["old_rule"]) == [-1, 0, -1, 0]
    assert "ceiling" not in chosen


def test_shares_gaps_and_what_was_published() -> None:
    known = shop(
        FOUR.true_value,
        FOUR.true_cost,
        value=np.array([[-1.0, -1.0], [3.0, 0.0], [0.0, 2.0], [-1.0, -1.0]]),
        cost=np.ones((4, 2)),
        published=np.array([1, -1, -1, 1]),
    )
    numbers = {n.name: n for n in oracle_shares(known, assign=assign_here, samples=50, seed=3)}
    assert numbers["oracle_share.model"].value == pytest.approx((1.0 + 2.5) / 6.5)
    assert numbers["oracle_share.old_rule"] == Number("oracle_share.old_rule", None)
    assert numbers["oracle_share.ceiling"].value is None
    assert numbers["published.true_value"].value == 5.0 - 1.0
    assert numbers["published.true_spend"].value == 3.0
    # With 3 to spend the oracle takes 4, 2.5, and 1 for 1.
    assert numbers["published.oracle_share"].value == pytest.approx(4.0 / 7.5)
    gap, share = numbers["oracle_gap.random"].value, numbers["oracle_share.random"].value
    assert gap is not None
    assert share is not None
    assert gap == pytest.approx((1.0 + 2.5) / 6.5 - share)


def test_best_single_is_the_best_and_not_the_first() -> None:
    rng = np.random.default_rng(0)
    value = rng.normal([0.1, 0.5, 0.2], 0.1, size=(200, 3))
    chosen = choose_all(shop(value, np.ones((200, 3))), assign=assign_here, budget=50.0, seed=1)["best_single"]
    assert np.unique(chosen[chosen >= 0]).tolist() == [1]
    assert (chosen >= 0).sum() == 50
    losing = choose_all(shop(value - 5, np.ones((200, 3))), assign=assign_here, budget=50.0, seed=1)["best_single"]
    assert (losing == -1).all()


def test_arm_average_has_the_arms_effect_and_the_users_costs() -> None:
    value, cost = arm_average(
        shop(
            [[0.0, 0.0]],
            [[0.0, 0.0]],
            p_no_offer=np.array([0.04]),
            order_margin=np.array([[20.0, 20.0]]),
            redemption_cost=np.array([[5.0, 2.0]]),
            contact_cost=np.array([[0.01, 0.02]]),
            arm_effect=np.array([0.02, -0.05]),
            arm_use=np.array([0.5, 1.0]),
        )
    )
    assert cost == pytest.approx(np.array([[0.06 * 0.5 * 5 + 0.01, 0.02]]))
    assert value == pytest.approx(np.array([[0.02 * 20 - 0.16, -0.05 * 20 - 0.02]]))


def test_pairs_that_may_not_be_are_given_by_no_policy_and_budgets_hold() -> None:
    rng = np.random.default_rng(2)
    size = (500, 6)
    allowed = rng.uniform(size=size) < 0.7
    value, cost = rng.normal(0, 1, size), rng.gamma(1.0, 1.0, size)
    noisy = shop(
        np.where(allowed, value, -np.inf),
        np.where(allowed, cost, 0.0),
        value=value + rng.normal(0, 1, size),
        cost=cost * rng.uniform(0.5, 2, size),
        p_response=rng.uniform(size=size),
        order_margin=np.full(size, 3.0),
        rule_order=rng.uniform(size=500),
        rule_offer=2,
        arm_effect=np.full(6, 0.2),
        ceiling_value=value,
        ceiling_cost=cost,
    )
    budget = oracle_budget(noisy)
    chosen = choose_all(noisy, assign=assign_here, budget=budget, seed=1)
    assert len(chosen) == 8
    for who in chosen.values():
        assert allowed[np.flatnonzero(who >= 0), who[who >= 0]].all()
        assert 0 < spend(noisy, who) <= budget * (1 + 1e-9)
    assert (chosen["ceiling"] == chosen["oracle"]).all()
    numbers = {n.name: n for n in oracle_shares(noisy, assign=assign_here, samples=300, seed=1)}
    of = {name: number.value for name, number in numbers.items()}
    assert of["oracle_share.ceiling"] == 1.0
    assert max(gains(noisy, who).sum() for who in chosen.values()) == gains(noisy, chosen["oracle"]).sum()
    model, random, gap = (numbers[name] for name in ("oracle_share.model", "oracle_share.random", "oracle_gap.random"))
    for number in (model, random, gap):
        assert None not in (number.low, number.value, number.high)
        assert number.low < number.value < number.high  # type: ignore[operator]


def test_rows_become_arrays_by_id_with_unknowns_apart() -> None:
    pairs = pd.DataFrame(
        {
            "user_id": ["b", "a", "b", "a"],
            "offer_id": ["y", "y", "x", "x"],
            "true_value": [1.0, 2.0, 3.0, 4.0],
            "true_cost": [0.1, 0.2, 0.3, 0.4],
            "value": [0.5, None, 0.7, 0.8],
            "expected_cost": [0.1, None, 0.1, 0.1],
            "p_response": [0.05, None, 0.05, 0.06],
            "p_no_offer": [0.03, None, 0.03, 0.04],
            "order_margin": [9.0, None, 9.0, 9.0],
            "redemption_cost": [1.0, None, 1.0, 1.0],
            "contact_cost": [0.0, None, 0.0, 0.0],
            "scored": [True, None, True, True],
            "published": [None, None, None, True],
        }
    )
    users = pd.DataFrame([{column.name: None for column in USER_FEATURE_COLUMNS} for _ in range(2)])
    users = users.assign(user_id=["b", "a"], orders_84d=[2, None], category_affinity=[{"Dairy": 1.0}, None])
    made = assemble(pairs, users, arms=[Arm("y", 0.02, 0.5)], old_rule="x", seed=1)
    assert made.true_value.tolist() == [[4.0, -np.inf], [3.0, 1.0]]
    assert made.value.tolist() == [[0.8, 0.0], [0.7, 0.5]]
    assert made.p_no_offer.tolist() == [0.04, 0.03]
    assert made.arm_effect.tolist() == [0.0, 0.02]
    assert np.floor(made.rule_order).tolist() == [0.0, 2.0]
    assert (made.rule_offer, made.published.tolist()) == (0, [0, -1])


def test_ceiling_learns_from_other_users_only() -> None:
    rng = np.random.default_rng(4)
    users = 3000
    features = rng.normal(size=(users, 5))
    value = np.column_stack([features[:, 0], 2 * np.abs(features[:, 1])]) + rng.normal(0, 0.3, (users, 2))
    cost = np.exp(0.3 * features[:, [2, 2]])
    found, found_cost = fit_ceiling(features, value, cost, seed=5)
    for one in range(2):
        assert np.corrcoef(found[:, one], value[:, one])[0, 1] ** 2 > 0.75
        assert np.corrcoef(found_cost[:, one], cost[:, one])[0, 1] > 0.95
    noise = rng.normal(size=(users, 2))
    assert abs(np.corrcoef(fit_ceiling(features, noise, cost, seed=5)[0][:, 0], noise[:, 0])[0, 1]) < 0.1


def test_features_are_numbers_indicators_and_affinities() -> None:
    users = pd.DataFrame([{column.name: 1.0 for column in USER_FEATURE_COLUMNS} for _ in range(2)])
    users = users.assign(age_band=["18-24", None], gender=["f", "m"], region="x", lifecycle_stage="new")
    users["category_affinity"] = [{"B": 0.2}, {}]
    users["tenure_days"] = [3.0, np.nan]
    matrix = feature_matrix(users)
    numbers = [column.name for column in USER_FEATURE_COLUMNS if column.type != "string"]
    assert matrix.shape == (2, 1 + len(numbers) + 1 + 2 + 1 + 1)
    assert matrix[:, 0].tolist() == [0.2, 0.0]
    assert matrix[0, 1 + numbers.index("tenure_days")] == 3.0
    assert np.isnan(matrix[1, 1 + numbers.index("tenure_days")])
