"""Novelty, popularity, diversity, coverage and Gini, by hand."""

from __future__ import annotations

import math
from collections.abc import Mapping

import pytest
from pyspark.sql import DataFrame, SparkSession

from offerlake.evaluate.variety import of_all, per_list


def pairs(spark: SparkSession, of: Mapping[str, str]) -> DataFrame:
    rows = [(user, name, place) for user, names in of.items() for place, name in enumerate(names, start=1)]
    return spark.createDataFrame(rows, "user_id string, product_id string, rank int")


def test_lists_by_hand(spark: SparkSession) -> None:
    """Three users had something: all a, one of them b, nobody c."""
    history = pairs(spark, {"x": "ab", "y": "aa", "z": "a"}).drop("rank")
    products = spark.createDataFrame(
        [("a", "food"), ("b", "food"), ("c", "home"), ("d", None), ("e", None)], "product_id string, category string"
    )

    rows = per_list(pairs(spark, {"u": "abc", "v": "cde", "w": "b"}), ks=[1, 3], history=history, products=products)

    found = {row["user_id"]: row.asDict() for row in rows.collect()}
    assert found["u"] == pytest.approx(
        {
            "user_id": "u",
            "popularity@1": 1.0,
            "novelty@1": 0.0,
            "diversity@1": None,
            "popularity@3": (1 + 1 / 3) / 3,
            "novelty@3": (0 + 1 + 2) / 3,  # −log2 of 4/4, 2/4 and 1/4
            "diversity@3": 2 / 3,  # a and b are alike
        }
    )
    assert (found["v"]["popularity@3"], found["v"]["novelty@3"]) == (0.0, 2.0)
    assert found["v"]["diversity@3"] == 1.0, "products of no category are like no other"
    assert (found["w"]["diversity@3"], found["w"]["novelty@3"]) == (None, 1.0)


def test_coverage_is_the_share_of_the_catalogue_shown(spark: SparkSession) -> None:
    catalogue = spark.createDataFrame([(name,) for name in "abcdefghij"], "product_id string")

    assert of_all(pairs(spark, {"u": "abc", "v": "ad"}), catalogue, ks=[2])["coverage@2"] == pytest.approx(0.3)


def test_coverage_and_gini(spark: SparkSession) -> None:
    catalogue = spark.createDataFrame([(name,) for name in "abcd"], "product_id string")

    found = of_all(pairs(spark, {"u": "ab", "v": "ab", "w": "axy"}), catalogue, ks=[1, 2])

    # Shown first: a three times. Among the first two: a three times, b twice; x is not of the catalogue.
    assert found == pytest.approx({"coverage@1": 1 / 4, "gini@1": 3 / 4, "coverage@2": 2 / 4, "gini@2": 0.55})
    everything = of_all(pairs(spark, {"u": "a", "v": "b", "w": "c", "z": "d"}), catalogue, ks=[1])
    assert everything == {"coverage@1": 1.0, "gini@1": 0.0}
    assert of_all(pairs(spark, {"u": "a"}), catalogue.limit(0), ks=[1]) == {}
    assert not math.isnan(of_all(pairs(spark, {"u": "z"}), catalogue, ks=[1])["gini@1"])
