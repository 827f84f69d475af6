"""The second stage: what it sees, what it learns, and what becomes of the lists."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa
import pytest
from pyspark.sql import SparkSession

from offerlake.config import RerankSettings, Settings
from offerlake.recommend.blocks import Catalogue, Floats, Pool, Rule, best_of_block, pool_of_block
from offerlake.recommend.rerank import FEATURES, Ranker, beside, drawn, features, train, traits
from recommend import made

PRODUCTS = Catalogue(
    ids=pa.array(["apples", "bread", "cake", "drill", "earth"]),
    factors=np.array([[1, 0], [0.9, 0], [0.8, 0], [0, 1], [0, 0.9]], dtype=np.float32),
    popular=np.array([[1, 0.9, 0.8, 0.7, 0.6]], dtype=np.float32),
    place=np.array([-1, 0, 1, 2, 3, 4]),  # the number of a product is its place and 1
    category=np.array([0, 0, 0, 1, 1]),
    price=np.array([2, 4, np.nan, 50, 5], dtype=np.float32),
    content=np.zeros(5, dtype=bool),
)
RULE = Rule(n=3, mode="both", own_weight=0.5, block_users=8)
# user, product, weight, purchases, days since the last and the first event; number 9 is no product of the catalogue
SEEN = [
    ("ann", 1, 6.0, 2, 3.5, 17.5),
    ("ann", 2, 3.0, 1, 10.0, 12.0),
    ("ann", 5, 1.0, 0, 1.0, 1.0),
    ("bob", 4, 6.0, 3, 40.0, 40.0),
    ("bob", 9, 8.0, 1, 2.0, 2.0),
    ("zoe", 1, 6.0, 1, 3.0, 3.0),
]


def block(seen: list[tuple[str, int, float, int, float, float]] = SEEN) -> pa.Table:
    """Users ann and bob have factors, cid has nothing, zoe is not wanted."""
    parts = [
        pa.table({"user_id": ["cid", "bob", "ann"], "wanted": [True, True, True]}),
        pa.table({"user_id": ["ann", "bob"], "features": pa.array([[1.0, 0.1], [0.1, 1.0]], pa.list_(pa.float32()))}),
        pa.table(
            {
                "user_id": pa.array([row[0] for row in seen], pa.string()),
                "product": pa.array([row[1] for row in seen], pa.int32()),
                "weight": pa.array([row[2] for row in seen], pa.float32()),
                "purchases": pa.array([row[3] for row in seen], pa.int32()),
                "days": pa.array([row[4] for row in seen], pa.float32()),
                "age": pa.array([row[5] for row in seen], pa.float32()),
            }
        ),
    ]
    return pa.concat_tables(parts, promote_options="default")


def naive(pool: Pool, row: int) -> dict[str, float]:
    """The features of one row of a pool, by a plain loop; nan for what cannot be told."""
    user, product = pool.users[int(pool.who[row])].as_py(), int(pool.which[row])
    places = PRODUCTS.place.tolist()
    his = [(places[number], *rest) for name, number, *rest in SEEN if name == user and number < len(places)]
    of_kind = [event for event in his if PRODUCTS.category[event[0]] == PRODUCTS.category[product]]
    of_pair = [event for event in his if event[0] == product]
    total = sum(event[1] for event in his)
    prices = [float(PRODUCTS.price[event[0]]) for event in his if event[2] and not np.isnan(PRODUCTS.price[event[0]])]
    nan = math.nan
    cycle = (of_pair[0][4] - of_pair[0][3]) / (of_pair[0][2] - 1) if of_pair and of_pair[0][2] > 1 else nan
    return {
        "score": float(pool.score[row]),
        "place": float(row - int(np.flatnonzero(pool.who == pool.who[row])[0])),
        "own": float(any(event[2] for event in of_pair)),
        "known": float(user != "cid"),
        "popularity": float(PRODUCTS.popularity[product]),
        "pair_weight": of_pair[0][1] if of_pair else nan,
        "pair_purchases": of_pair[0][2] if of_pair else nan,
        "pair_days": of_pair[0][3] if of_pair else nan,
        "pair_share": of_pair[0][1] / total if of_pair else nan,
        "pair_cycle": cycle,
        "pair_due": of_pair[0][3] / cycle if cycle > 0 else nan,
        "user_products": len(his),
        "user_weight": total,
        "user_purchases": sum(event[2] for event in his),
        "user_days": min((event[3] for event in his), default=nan),
        "category_share": sum(event[1] for event in of_kind) / total if of_kind else nan,
        "category_days": min((event[3] for event in of_kind), default=nan),
        "price_ratio": math.log(PRODUCTS.price[product] / (sum(prices) / len(prices))) if prices else nan,
    }


def test_the_trees_see_what_a_plain_loop_finds() -> None:
    pool = pool_of_block(block(), PRODUCTS, RULE, 4)
    of_products = np.arange(20, dtype=np.float32).reshape(5, 4)

    table = features(pool, of_products)

    assert table.shape == (12, len(FEATURES)), "three users, four products each"
    assert [name.as_py() for name in pool.users] == ["ann", "bob", "cid"]
    for row in range(len(table)):
        expected = [*naive(pool, row).values(), *of_products[pool.which[row]]]
        np.testing.assert_allclose(table[row], expected, rtol=1e-5, equal_nan=True)


def test_a_block_in_which_nobody_has_done_anything_has_features_too() -> None:
    pool = pool_of_block(block([]), PRODUCTS, RULE, 2)

    table = features(pool, np.zeros((5, 4), dtype=np.float32))

    seen = dict(zip(FEATURES, table.T.tolist(), strict=True))
    assert seen["user_products"] == [0] * 6
    assert all(np.isnan(value) for name in ("pair_weight", "user_days", "price_ratio") for value in seen[name])


@dataclass(frozen=True)
class ByName:
    """A second stage that likes the end of the alphabet, but cake as much as bread."""

    size: int

    def __call__(self, pool: Pool) -> Floats:
        return np.array([0.9, 0.5, 0.5, 0.2, 1.0], dtype=np.float32)[pool.which]


def names(found: pa.RecordBatch) -> dict[str, list[str]]:
    return {row["user_id"]: [item["product_id"] for item in row["items"]] for row in found.to_pylist()}


def test_the_second_stage_orders_the_pool_and_ties_go_to_the_smaller_id() -> None:
    everything = names(best_of_block(block(), PRODUCTS, RULE, ByName(5)))
    assert everything["ann"] == everything["cid"] == ["earth", "apples", "bread"]

    three = best_of_block(block(), PRODUCTS, RULE, ByName(3))
    assert names(three)["cid"] == ["apples", "bread", "cake"], "what is not in the pool is not on the list"
    (ann,) = (row for row in three.to_pylist() if row["user_id"] == "ann")
    assert [(item["score"], item["source"]) for item in ann["items"]] == [(0.9, "own"), (0.5, "own"), (0.5, "als")]


def test_rules_hold_after_the_second_stage() -> None:
    first = names(best_of_block(block(), PRODUCTS, replace(RULE, mode="replenish"), ByName(5)))
    assert first["ann"] == ["apples", "bread", "earth"], "what was bought comes first"
    few = names(best_of_block(block(), PRODUCTS, replace(RULE, per_category=1), ByName(5)))
    assert few["ann"] == ["earth", "apples"], "one of food, one of the rest"
    new = names(best_of_block(block(), PRODUCTS, replace(RULE, mode="discover"), ByName(5)))
    assert new["ann"] == ["earth", "cake", "drill"]


@pytest.fixture(scope="module")
def small(settings: Settings) -> RerankSettings:
    return settings.recommend.rerank.model_copy(update={"pool": 4, "trees": 20, "depth": 3, "rate": 0.3})


def test_traits_say_how_products_are_bought(spark: SparkSession) -> None:
    rows = [("u1", "bread", 9.0, 3), ("u2", "bread", 6.0, 1), ("u3", "bread", 1.0, 0), ("u1", "drill", 6.0, 1)]

    found = beside(PRODUCTS, traits(made.interactions(spark, rows), days=28))

    np.testing.assert_allclose(found[1], [math.log(3), 0.5, 2.0, math.log(3)], rtol=1e-6)
    np.testing.assert_allclose(found[3], [math.log(2), 0.0, 1.0, math.log(2)], rtol=1e-6)
    assert np.isnan(found[[0, 2, 4]]).all()


def test_it_learns_what_decides_and_learns_the_same_from_another_order(
    spark: SparkSession, small: RerankSettings
) -> None:
    """Of each user's four products the one whose eighth feature, the days since, is least is bought."""
    random = np.random.default_rng(3)
    pools, bought = [], []
    for number in range(200):
        table = random.random((4, len(FEATURES))).astype(np.float32)
        ids = [f"p{place}" for place in random.permutation(4)]
        pools.append((f"u{number}", ids, table.ravel().tolist()))
        bought += [(f"u{number}", ids[int(table[:, 7].argmin())]), (f"u{number}", "not in the pool")]
    schema = "user_id string, product_ids array<string>, features array<float>"
    truth = spark.createDataFrame(bought, "user_id string, product_id string")

    trees = train(spark.createDataFrame(pools, schema), truth, settings=small, seed=1)

    assert trees is not None
    told = np.full((2, len(FEATURES)), 0.5, dtype=np.float32)
    told[:, 7] = [0.01, 0.99]
    soon, late = Ranker(4, trees, np.empty((0, 4), dtype=np.float32))._booster.inplace_predict(told)
    assert soon > 0.7
    assert late < 0.1
    assert train(spark.createDataFrame(pools[::-1], schema).repartition(5), truth, settings=small, seed=1) == trees
    users = spark.createDataFrame(pools, schema).select("user_id")
    some = [row["user_id"] for row in drawn(users, most=5, seed=1).collect()]
    assert sorted(some) == sorted(row["user_id"] for row in drawn(users.repartition(5), most=5, seed=1).collect())
    assert len(set(some)) == 5
    left = spark.createDataFrame([pool for pool in pools if pool[0] in some], schema)
    assert train(left, truth, settings=small, seed=1) is None, "too few to learn"
