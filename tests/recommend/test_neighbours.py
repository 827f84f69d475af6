"""What is bought together, against a count by hand and by a plain loop."""

from __future__ import annotations

import math
from collections import Counter
from itertools import combinations

import numpy as np
import pyarrow as pa
import pytest
from pyspark.sql import SparkSession

from offerlake.config import NeighbourSettings, Settings
from offerlake.recommend.neighbours import _count, neighbours

SCHEMA = "unit string, product int"


@pytest.fixture
def given(settings: Settings) -> NeighbourSettings:
    return settings.recommend.neighbours.model_copy(update={"most": 50, "least": 1, "keep": 20})


def test_counts_confidence_lift_and_cosine_by_hand(spark: SparkSession, given: NeighbourSettings) -> None:
    """Bread in three of four orders, butter in two, both in two; salt alone in one."""
    bread, butter, salt = 3, 1, 7
    rows = [("1", bread), ("1", butter), ("1", bread), ("2", butter), ("2", bread), ("3", bread), ("4", salt)]

    found = neighbours(spark.createDataFrame(rows, SCHEMA), settings=given, seed=1).orderBy("product").collect()

    assert [tuple(row)[:5] for row in found] == [(butter, bread, 1, 2, 1.0), (bread, butter, 1, 2, 2 / 3)]
    assert {row["lift"] for row in found} == {2 * 4 / (3 * 2)}
    assert [row["cosine"] for row in found] == [pytest.approx(2 / math.sqrt(6))] * 2


def test_they_are_those_of_a_plain_loop(spark: SparkSession, given: NeighbourSettings) -> None:
    random = np.random.default_rng(4)
    baskets = {f"u{i}": set(random.integers(0, 12, random.integers(0, 7)).tolist()) for i in range(60)}
    rows = [(unit, product) for unit, products in baskets.items() for product in products]
    both = Counter(pair for products in baskets.values() for pair in combinations(sorted(products), 2))
    n = Counter(product for _, product in rows)
    lifts = {
        pair: both[min(pair), max(pair)] * sum(map(bool, baskets.values())) / (n[pair[0]] * n[pair[1]])
        for pair in [(a, b) for a in n for b in n if a != b and both[min(a, b), max(a, b)] >= 3]
    }
    wanted = {
        a: sorted((b for x, b in lifts if x == a), key=lambda b: (-lifts[a, b], -both[min(a, b), max(a, b)], b))[:4]
        for a in n
    }

    settings = given.model_copy(update={"least": 3, "keep": 4, "by": "lift"})
    found = neighbours(spark.createDataFrame(rows, SCHEMA).repartition(3), settings=settings, seed=1).collect()

    assert {
        a: [r["neighbour"] for r in sorted(found, key=lambda r: r["rank"]) if r["product"] == a] for a in n
    } == wanted
    assert len(found) > 20


def test_of_a_unit_with_too_many_products_a_sample_counts(spark: SparkSession, given: NeighbourSettings) -> None:
    frame = spark.createDataFrame([(f"u{unit}", product) for unit in range(40) for product in range(10)], SCHEMA)

    found = neighbours(frame, settings=given.model_copy(update={"most": 2}), seed=1).collect()

    assert sum(row["units"] for row in found) == 2 * 40, "one pair a unit, told from both sides"
    assert len({row["product"] for row in found}) == 10, "not the same products of all"


def test_nothing_bought_has_no_neighbours(spark: SparkSession, given: NeighbourSettings) -> None:
    assert neighbours(spark.createDataFrame([], SCHEMA), settings=given, seed=1).isEmpty()
    assert neighbours(spark.createDataFrame([("u", 1)], SCHEMA), settings=given, seed=1).isEmpty()


def test_units_are_counted_whole_however_they_come(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("offerlake.recommend.neighbours._ROWS", 3)
    rows = [(unit, product) for unit in "abcd" for product in (5, 2, 9)]
    whole = pa.table({"unit": [u for u, _ in rows], "product": pa.array([p for _, p in rows], pa.int32())})

    for size in (1, 2, 5, 12):
        sums: Counter[tuple[int, int]] = Counter()
        for batch in _count(whole.to_batches(max_chunksize=size)):
            for row in batch.to_pylist():
                sums[row["a"], row["b"]] += row["n"]
        assert sums == {(2, 5): 4, (2, 9): 4, (5, 9): 4}
