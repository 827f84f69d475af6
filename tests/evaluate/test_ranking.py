"""The ranking metrics, pinned by Spark's own documentation example and by hand."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import pytest
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from offerlake.errors import ConfigError
from offerlake.evaluate.bootstrap import ALL, Estimate, poisson_groups, poisson_means
from offerlake.evaluate.ranking import per_user, ranked


def lists(spark: SparkSession, names: Mapping[str, Sequence[object]]) -> DataFrame:
    rows = [(user, str(name), place) for user, given in names.items() for place, name in enumerate(given, start=1)]
    return spark.createDataFrame(rows, "user_id string, product_id string, rank int")


def truths(spark: SparkSession, names: Mapping[str, Sequence[object]]) -> DataFrame:
    return lists(spark, names).drop("rank")


def mean(frame: DataFrame) -> dict[str, float]:
    _, estimates = poisson_means(frame, key="user_id", samples=1, seed=1)
    return {name: estimate.value or 0.0 for name, estimate in estimates.items()}


def test_the_example_of_spark_s_ranking_metrics(spark: SparkSession) -> None:
    """Spark's means are over three users, one of them without truth; ours over the two others."""
    given = {"u": [1, 6, 2, 7, 8, 3, 9, 10, 4, 5], "v": [4, 1, 5, 6, 2, 7, 3, 8, 9, 10], "w": [1, 2, 3, 4, 5]}
    truth = {"u": [1, 2, 3, 4, 5], "v": [1, 2, 3], "w": []}

    found = mean(per_user(lists(spark, given), truths(spark, truth), ks=[1, 2, 3, 5, 10, 15]))

    spark_s = {
        "precision@1": 1 / 3,
        "precision@2": 1 / 3,
        "precision@5": 0.8 / 3,
        "precision@15": 1.6 / 9,
        "map@1": 1 / 3,
        "map@2": 0.25,
        "map@15": 0.355026,
        "ndcg@3": 1 / 3,
        "ndcg@5": 0.328788,
        "ndcg@10": 0.487913,
        "recall@1": 1 / 15,
        "recall@2": 8 / 45,
        "recall@5": 0.35555556,
        "recall@15": 2 / 3,
    }
    assert {name: found[name] * 2 / 3 for name in spark_s} == pytest.approx(spark_s, abs=1e-6)


def test_by_hand(spark: SparkSession) -> None:
    """Truth a, b, c; shown x, b, a: hits at places 2 and 3."""
    found = mean(per_user(lists(spark, {"u": ["x", "b", "a"]}), truths(spark, {"u": ["a", "b", "c"]}), ks=[2, 3]))

    best = 1 + 1 / math.log2(3) + 1 / 2
    assert found == pytest.approx(
        {
            "mrr": 1 / 2,
            "precision@2": 1 / 2,
            "recall@2": 1 / 3,
            "hit_rate@2": 1,
            "map@2": (1 / 2) / 2,
            "ndcg@2": (1 / math.log2(3)) / (1 + 1 / math.log2(3)),
            "precision@3": 2 / 3,
            "recall@3": 2 / 3,
            "hit_rate@3": 1,
            "map@3": (1 / 2 + 2 / 3) / 3,
            "map_truth@2": (1 / 2) / 3,
            "map_truth@3": (1 / 2 + 2 / 3) / 3,
            "ndcg@3": (1 / math.log2(3) + 1 / 2) / best,
        },
        abs=1e-9,
    )


def test_graded_ndcg(spark: SparkSession) -> None:
    truth = spark.createDataFrame(
        [("u", "a", 1.0), ("u", "b", 3.0), ("u", "zero", 0.0)], "user_id string, product_id string, relevance double"
    )

    found = mean(per_user(lists(spark, {"u": ["a", "zero", "b"]}), truth, ks=[3]))

    assert found["ndcg@3"] == pytest.approx((1 + 7 / 2) / (7 + 1 / math.log2(3)), abs=1e-9)
    assert found["recall@3"] == 1


def test_users_without_recommendations_count_zero_and_users_without_truth_not_at_all(spark: SparkSession) -> None:
    metrics = per_user(
        lists(spark, {"both": ["a"], "shown": ["a"]}), truths(spark, {"both": ["a"], "bought": ["a"]}), ks=[1]
    )

    judged, estimates = poisson_means(metrics, key="user_id", samples=1, seed=1)

    assert judged == 2
    assert estimates["ndcg@1"].value == 0.5
    assert estimates["mrr"].value == 0.5


def test_scores_rank_downwards_with_ties_by_id_and_repeated_ids_once(spark: SparkSession) -> None:
    frame = spark.createDataFrame(
        [("u", "b", 0.5), ("u", "a", 0.5), ("u", "c", 0.9), ("u", "a", 0.1)],
        "user_id string, product_id string, score double",
    )

    assert [tuple(row) for row in ranked(frame).orderBy("rank").collect()] == [
        ("u", "c", 1),
        ("u", "a", 2),
        ("u", "b", 3),
    ]


def test_k_beyond_the_list_still_divides_precision_by_k(spark: SparkSession) -> None:
    found = mean(per_user(lists(spark, {"u": ["a"]}), truths(spark, {"u": ["a", "b"]}), ks=[10]))

    assert (found["precision@10"], found["recall@10"]) == (0.1, 0.5)


@pytest.mark.parametrize("ks", [[], [0], [5, -1]])
def test_a_bad_k_is_refused(spark: SparkSession, ks: list[int]) -> None:
    with pytest.raises(ConfigError, match="k: got"):
        per_user(lists(spark, {"u": ["a"]}), truths(spark, {"u": ["a"]}), ks=ks)


def test_the_bootstrap_interval_is_that_of_a_mean(spark: SparkSession) -> None:
    """Of 400 users half have 1 and half 0: standard error 0.5 / √400 = 0.025."""
    frame = spark.range(400).selectExpr("cast(id as string) AS user_id", "cast(id % 2 AS double) AS x", "0.25D AS y")

    judged, estimates = poisson_means(frame, key="user_id", samples=400, seed=3)

    assert judged == 400
    x = estimates["x"]
    assert x.value == 0.5
    assert x.low == pytest.approx(0.5 - 1.96 * 0.025, abs=0.008)
    assert x.high == pytest.approx(0.5 + 1.96 * 0.025, abs=0.008)
    assert estimates["y"] == Estimate(0.25, 0.25, 0.25)


def test_groups_are_drawn_together_and_add_up_to_all(spark: SparkSession) -> None:
    """Each group's numbers are those of its rows alone, and all rows are all, with those of no group."""
    frame = spark.range(60).selectExpr(
        "cast(id as string) AS user_id",
        "cast(id as double) AS x",
        "CASE WHEN id < 20 THEN 'old' WHEN id < 50 THEN 'new' END AS kind",
        "cast(id % 2 as string) AS half",
    )

    found = poisson_groups(frame, key="user_id", by=["kind", "half"], samples=30, seed=3)

    plain = frame.select("user_id", "x")
    assert found[ALL] == poisson_means(plain, key="user_id", samples=30, seed=3)
    assert set(found) == {ALL, ("kind", "old"), ("kind", "new"), ("half", "0"), ("half", "1")}
    for column, value in set(found) - {ALL}:
        alone = frame.where(F.col(column) == value).select("user_id", "x")
        assert found[column, value] == poisson_means(alone, key="user_id", samples=30, seed=3)
    assert found["kind", "old"][1]["x"].value == 9.5


def test_no_rows_give_no_mean(spark: SparkSession) -> None:
    frame = spark.createDataFrame([], "user_id string, x double")

    assert poisson_means(frame, key="user_id", samples=10, seed=3) == (0, {"x": Estimate(None, None, None)})
