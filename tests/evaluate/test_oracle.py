"""From the tables of a run and the truth's folder to the arrays that policies are compared on."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from pyspark.sql import DataFrame, SparkSession

from offerlake.decide.hull import assign_here
from offerlake.errors import DataError
from offerlake.evaluate.oracle import Arm, arm_means, assemble, oracle_numbers, rule_offer
from offerlake.schemas import table

ROWS = [
    # offer, propensity, responded, redeemed, policy
    (None, 0.5, 1, 0, "experiment"),
    (None, 0.25, 0, 0, "experiment"),
    ("ten", 0.25, 1, 1, "experiment"),
    ("ten", 0.5, 1, 0, "experiment"),
    ("ten", 0.25, 0, 0, "experiment"),
    ("push", 0.25, 0, 0, "experiment"),
    # Chosen, not drawn: they say nothing of an effect.
    ("ten", 1.0, 1, 1, "old_rule"),
    ("ten", None, 1, 1, "old_rule"),
    ("push", 1.0, 1, 1, "old_rule"),
]


def examples(spark: SparkSession, rows: list[tuple[object, ...]]) -> DataFrame:
    return spark.createDataFrame(rows, "offer_id string, propensity double, responded int, redeemed int, policy string")


def test_means_of_arms_are_weighted_by_inverse_propensity(spark: SparkSession) -> None:
    found = {arm.offer_id: (arm.effect, arm.use) for arm in arm_means(examples(spark, ROWS))}
    control = 2 / (2 + 4)
    assert found["ten"] == pytest.approx(((4 + 2) / (4 + 2 + 4) - control, 4 / (4 + 2)))
    assert found["push"] == pytest.approx((-control, 0.0))
    assert arm_means(examples(spark, [row for row in ROWS if row[0]])) == [], "without a control nothing is known"


def test_the_old_rule_gives_what_it_gave_most_often(spark: SparkSession) -> None:
    assert rule_offer(examples(spark, ROWS), policy="old_rule") == "ten"
    assert rule_offer(examples(spark, ROWS[7:]), policy="old_rule") == "push", "of two alike the first by name"
    assert rule_offer(examples(spark, ROWS), policy="other") is None


def pairs() -> pd.DataFrame:
    """Two users and two offers; b may not get `ten`, and got `push`."""
    return pd.DataFrame(
        {
            "user_id": ["b", "a", "a", "b"],
            "offer_id": ["push", "ten", "push", "ten"],
            "true_value": [1.0, 2.0, 3.0, 4.0],
            "true_cost": [0.1, 0.2, 0.3, 0.4],
            "value": [5.0, 6.0, 7.0, None],
            "expected_cost": [0.5, 0.6, 0.7, None],
            "p_response": [0.1, 0.2, 0.3, None],
            "p_no_offer": [0.05, 0.15, 0.15, None],
            "order_margin": [10.0, 20.0, 20.0, None],
            "redemption_cost": [1.0, 2.0, 3.0, None],
            "contact_cost": [0.01, 0.01, 0.02, None],
            "scored": [True, True, True, None],
            "published": [True, None, None, None],
        }
    )


def test_pairs_become_arrays_and_who_may_not_get_an_offer_cannot(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("offerlake.evaluate.oracle.can_fit", lambda: False)
    users = pd.DataFrame({"user_id": ["b", "a"], "orders_84d": [3, 1]})
    shop = assemble(pairs(), users, arms=[Arm("push", 0.02, 0.5)], old_rule="ten", seed=1)
    # Users a, b; offers push, ten.
    np.testing.assert_array_equal(shop.true_value, [[3.0, 2.0], [1.0, -np.inf]])
    np.testing.assert_array_equal(shop.true_cost, [[0.3, 0.2], [0.1, 0.0]])
    np.testing.assert_array_equal(shop.value, [[7.0, 6.0], [5.0, 0.0]])
    np.testing.assert_array_equal(shop.p_no_offer, [0.15, 0.05])
    np.testing.assert_array_equal(shop.arm_effect, [0.02, 0.0])
    np.testing.assert_array_equal(shop.published, [-1, 0])
    assert shop.rule_offer == 1
    assert 1 <= shop.rule_order[0] < 2
    assert 3 <= shop.rule_order[1] < 4
    assert shop.ceiling_value is None


def test_a_truth_of_another_shop_is_told(spark: SparkSession) -> None:
    scores = spark.createDataFrame(pairs().drop(columns=["true_value", "true_cost", "scored", "published"])[:3])
    outcomes = spark.createDataFrame(
        [("a", "ten", 0.1, 1.0), ("a", "push", 0.1, 1.0)],
        "user_id string, offer_id string, expected_cost double, incremental_margin double",
    )
    empty = {name: spark.createDataFrame([], table(name).struct) for name in ("user_features", "user_offers")}
    with pytest.raises(DataError, match="no outcome for 1 of the scored pairs") as told:
        oracle_numbers(scores, outcomes, **empty, arms=[], old_rule=None, assign=assign_here, samples=10, seed=1)
    assert told.value.fix == "Give the folder of the shop that was run."
