"""Choosing among variants: the best one, wherever it stands, judged by the other half's choice."""

from __future__ import annotations

import pytest
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from offerlake.evaluate.selection import choose
from offerlake.randomness import fold

SEED = 7


def variant(spark: SparkSession, even: float, odd: float) -> DataFrame:
    """Users of the two halves with one value each."""
    half = fold(SEED, "selection", 2, F.col("user_id"))
    users = spark.range(100).select(F.col("id").cast("string").alias("user_id"))
    return users.withColumn("good@1", F.when(half == 0, even).otherwise(odd))


@pytest.mark.parametrize("place", [0, 1, 2])
def test_the_best_is_taken_wherever_it_stands(spark: SparkSession, place: int) -> None:
    variants = {float(i): variant(spark, *((0.5, 0.6) if i == place else (0.2, 0.3))) for i in range(3)}

    chosen = choose(variants, metric="good@1", default=9.0, seed=SEED)

    assert chosen.name == place
    assert {row["good@1"] for row in chosen.judged.collect()} == {0.5, 0.6}
    assert chosen.judged.select("user_id").distinct().count() == 100


def test_each_half_is_judged_by_the_other_half_s_choice(spark: SparkSession) -> None:
    """One variant is best for half 0, the other for half 1: each gets the one that is bad for it."""
    variants = {"a": variant(spark, 0.9, 0.1), "b": variant(spark, 0.2, 0.8)}

    chosen = choose(variants, metric="good@1", default="b", seed=SEED)

    assert {row["good@1"] for row in chosen.judged.collect()} == {0.1, 0.2}


def test_ties_go_to_the_first_and_nobody_to_the_default(spark: SparkSession) -> None:
    same = {"a": variant(spark, 0.5, 0.5), "b": variant(spark, 0.5, 0.5)}
    nobody = {name: frame.limit(0) for name, frame in same.items()}

    assert choose(same, metric="good@1", default="b", seed=SEED).name == "a"
    assert choose(nobody, metric="good@1", default="b", seed=SEED).name == "b"
