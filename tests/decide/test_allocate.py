"""The assigner against brute force and the linear relaxation, and its budget."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pyspark.sql import DataFrame, SparkSession
from scipy.optimize import linprog

from offerlake.decide.allocate import Cut, choices, cut, steps
from offerlake.decide.hull import MICRO, assign_here, hull_steps, micro_budget

Pair = tuple[str, str, float, float]


def pairs_frame(spark: SparkSession, rows: list[Pair]) -> DataFrame:
    return spark.createDataFrame(rows, "user_id string, offer_id string, value double, cost double")


def assigned(spark: SparkSession, rows: list[Pair], budget: float) -> tuple[dict[str, str], Cut]:
    found = steps(pairs_frame(spark, rows)).persist()
    edge = cut(found, budget)
    result = {row["user_id"]: row["offer_id"] for row in choices(found, edge).collect()}
    found.unpersist()
    return result, edge


def totals(rows: list[Pair], chosen: dict[str, str]) -> tuple[float, float]:
    taken = [(value, cost) for user, offer, value, cost in rows if chosen.get(user) == offer]
    return sum(value for value, _ in taken), sum(cost for _, cost in taken)


def relaxed_optimum(rows: list[Pair], budget: float) -> float:
    """The linear relaxation: shares x ≥ 0, at most 1 a user."""
    users = sorted({user for user, *_ in rows})
    one_each = [[float(user == mine) for mine, *_ in rows] for user in users]
    result = linprog(
        [-value for *_, value, _ in rows],
        A_ub=[*one_each, [cost for *_, cost in rows]],
        b_ub=[*[1.0] * len(users), budget],
        method="highs",
    )
    return float(-result.fun)


def best_possible(rows: list[Pair], budget: float) -> float:
    """Brute force over every choice of every user."""
    by_user: dict[str, list[tuple[float, float]]] = {}
    for user, _, value, cost in rows:
        by_user.setdefault(user, [(0.0, 0.0)]).append((value, cost))
    best = 0.0
    for picks in itertools.product(*by_user.values()):
        if sum(cost for _, cost in picks) <= budget * (1 + 1e-9):
            best = max(best, sum(value for value, _ in picks))
    return best


def test_takes_the_best_value_per_cost_first(spark: SparkSession) -> None:
    rows = [
        ("u1", "a", 1.0, 1.0),  # 1 per cost, then to b: 1 more for 3 more
        ("u1", "b", 2.0, 4.0),
        ("u2", "a", 4.0, 2.0),  # 2 per cost
        ("u3", "a", 0.9, 3.0),  # 0.3 per cost
    ]
    assert assigned(spark, rows, 2.0)[0] == {"u2": "a"}
    assert assigned(spark, rows, 3.0)[0] == {"u2": "a", "u1": "a"}
    assert assigned(spark, rows, 6.0)[0] == {"u2": "a", "u1": "b"}
    assert assigned(spark, rows, 9.0)[0] == {"u2": "a", "u1": "b", "u3": "a"}


def test_price_is_that_of_the_first_step_that_does_not_fit(spark: SparkSession) -> None:
    rows = [("u1", "a", 1.0, 1.0), ("u2", "a", 4.0, 2.0), ("u3", "a", 0.9, 3.0)]
    chosen, edge = assigned(spark, rows, 3.5)
    assert chosen == {"u1": "a", "u2": "a"}
    assert edge.price == pytest.approx(0.3)
    assert edge.spend == 3.0
    assert assigned(spark, rows, 100.0)[1] == Cut(price=0.0, key=-1, tie=0, spend=6.0)


def test_nothing_of_no_value_is_given(spark: SparkSession) -> None:
    rows = [("u1", "a", -1.0, 1.0), ("u1", "b", 0.0, 0.0), ("u2", "a", -0.1, 0.0)]
    assert assigned(spark, rows, 100.0) == ({}, Cut(price=0.0, key=-1, tie=0, spend=0.0))


def test_no_pairs_and_no_budget(spark: SparkSession) -> None:
    assert assigned(spark, [], 5.0)[0] == {}
    rows = [("u1", "free", 0.5, 0.0), ("u1", "a", 9.0, 1.0), ("u2", "a", 3.0, 1e-9)]
    chosen, edge = assigned(spark, rows, 0.0)
    assert chosen == {"u1": "free"}
    assert edge.spend == 0.0


def test_one_user(spark: SparkSession) -> None:
    rows = [("u1", "a", 2.0, 1.0), ("u1", "b", 3.0, 2.0), ("u1", "c", 3.5, 5.0)]
    assert [assigned(spark, rows, budget)[0].get("u1") for budget in (0.5, 1.0, 2.5, 5.0)] == [None, "a", "b", "c"]


def test_equal_offers_go_to_as_many_users_as_the_budget_allows(spark: SparkSession) -> None:
    rows = [(f"u{n:03}", offer, 1.0, 0.5) for n in range(200) for offer in ("b", "a")]
    chosen, edge = assigned(spark, rows, 30.2)
    assert len(chosen) == 60
    assert set(chosen.values()) == {"a"}
    assert edge.price == 2.0
    assert assigned(spark, rows[::-1], 30.2) == (chosen, edge)


def test_budget_holds_and_is_used_on_many_users(spark: SparkSession) -> None:
    rng = np.random.default_rng(3)
    rows = [
        (f"u{n:04}", f"o{k}", float(rng.normal(0.2, 1)), float(rng.gamma(1.0, 0.7)))
        for n in range(3000)
        for k in range(6)
    ]
    budget = 321.5
    chosen, edge = assigned(spark, rows, budget)
    value, cost = totals(rows, chosen)
    largest = max(cost for *_, cost in rows)
    assert budget - largest < cost <= budget * (1 + 1e-9)
    assert edge.spend == pytest.approx(cost, abs=3000 / MICRO)
    # The same as the best choice of every user at the price λ, but for users at exactly that price.
    at_price = {}
    for user, offer, worth, spent in rows:
        if worth - edge.price * spent > max(0.0, at_price.get(user, (0.0, ""))[0]) + 1e-12:
            at_price[user] = (worth - edge.price * spent, offer)
    differing = {user for user in set(at_price) | set(chosen) if at_price.get(user, (0, None))[1] != chosen.get(user)}
    assert len(differing) <= 1
    assert value <= sum(surplus for surplus, _ in at_price.values()) + edge.price * budget + 1e-9


def test_spend_may_be_another_than_the_cost_of_the_order(spark: SparkSession) -> None:
    frame = spark.createDataFrame(
        [("u1", "a", 5.0, 1.0, 4.0), ("u2", "a", 3.0, 1.0, 1.0)],
        "user_id string, offer_id string, value double, cost double, spend double",
    )
    found = steps(frame)
    assert [row["user_id"] for row in choices(found, cut(found, 4.5)).collect()] == ["u1"]
    assert cut(found, 4.5).spend == 4.0


def numpy_assigned(rows: list[Pair], budget: float) -> dict[str, str]:
    """The same on one machine."""
    users, offers = sorted({row[0] for row in rows}), sorted({row[1] for row in rows})
    shape = (len(users), len(offers))
    value, cost = np.full(shape, -np.inf), np.full(shape, np.inf)
    for user, offer, worth, spent in rows:
        value[users.index(user), offers.index(offer)] = worth
        cost[users.index(user), offers.index(offer)] = spent
    chosen = assign_here(value, cost, cost, budget)
    return {users[place]: offers[offer] for place, offer in enumerate(chosen) if offer >= 0}


amounts = st.integers(0, 40).map(lambda n: n / 8)
values = st.integers(-16, 60).map(lambda n: n / 7)
instances = st.dictionaries(
    st.tuples(st.sampled_from(["u1", "u2", "u3", "u4"]), st.sampled_from(["a", "b", "c"])),
    st.tuples(values, amounts),
    min_size=1,
).map(lambda found: [(user, offer, value, cost) for (user, offer), (value, cost) in sorted(found.items())])


@settings(max_examples=300, deadline=None)
@given(rows=instances, budget=amounts.map(lambda amount: 3 * amount))
def test_within_one_step_of_the_relaxed_optimum(rows: list[Pair], budget: float) -> None:
    chosen = numpy_assigned(rows, budget)
    value, cost = totals(rows, chosen)
    relaxed, best = relaxed_optimum(rows, budget), best_possible(rows, budget)
    assert cost <= budget * (1 + 1e-9)
    assert value <= best + 1e-9
    assert best <= relaxed + 1e-9
    # What is lost is part of one step, whose value is at most the largest of a single pair.
    assert value >= relaxed - max(0.0, *(worth for *_, worth, _ in rows)) - 1e-9


@settings(max_examples=200, deadline=None)
@given(rows=instances)
def test_without_a_binding_budget_everyone_gets_his_best(rows: list[Pair]) -> None:
    chosen = numpy_assigned(rows, 1e6)
    value, _ = totals(rows, chosen)
    best = {user: max(worth for who, _, worth, _ in rows if who == user) for user, *_ in rows}
    assert value == pytest.approx(sum(max(0.0, worth) for worth in best.values()))


@settings(max_examples=200, deadline=None)
@given(rows=instances)
def test_ratios_fall_along_a_hull(rows: list[Pair]) -> None:
    value = np.array([[worth for *_, worth, _ in rows]])
    cost = np.array([[spent for *_, spent in rows]])
    found = hull_steps(value, cost, np.zeros((1, len(rows)), dtype=np.int64))
    assert list(found.level) == list(range(len(found.level)))
    assert np.all(np.diff(found.ratio) <= 0)
    assert np.all(np.diff(value[0, found.offer]) > 0)
    if len(found.offer):
        assert value[0, found.offer[-1]] == value.max()


def test_distributed_cut_equals_plain_sorting(spark: SparkSession) -> None:
    rng = np.random.default_rng(5)
    # Few distinct amounts, so that many steps of many users are equally steep.
    rows = [
        (f"u{n}", f"o{k}", float(rng.integers(-4, 9)), float(rng.integers(0, 4))) for n in range(300) for k in range(4)
    ]
    found = steps(pairs_frame(spark, rows)).persist()
    listed = sorted(((row["key"], row["tie"], row["spend"]) for row in found.collect()), reverse=True)
    for budget in (0.0, 1.0, 37.0, 150.5, 400.0):
        left, expected = micro_budget(budget), 0
        for _, _, spend in listed:
            if expected + spend > left:
                break
            expected += spend
        assert cut(found, budget).spend == expected / MICRO
    found.unpersist()
