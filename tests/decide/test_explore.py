"""Arms, propensities and exploration's part of the budget."""

from __future__ import annotations

from datetime import date

import pytest
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from offerlake.config import Settings
from offerlake.decide.explore import arm, draws, fit_exploration, propensity

DAY = date(2025, 9, 3)


def inputs(spark: SparkSession, count: int, offers: int, cost: float = 1.0) -> tuple[DataFrame, DataFrame]:
    users = spark.range(count).select(F.concat(F.lit("u"), "id").alias("user_id"))
    listed = spark.createDataFrame([(f"o{k}", cost * k) for k in range(offers)], "offer_id string, cost double")
    return users, users.crossJoin(listed)


def test_arms_have_their_shares_and_explorers_every_option(spark: SparkSession, settings: Settings) -> None:
    decide = settings.decide.model_copy(
        update={"holdout_share": 0.2, "explore_share": 0.5, "budget": 1e6, "explore_budget_share": 0.9}
    )
    users, pairs = inputs(spark, 8000, 3)
    drawn = draws(users, pairs, as_of=DAY, seed=7, settings=decide).persist()
    exploration = fit_exploration(drawn, settings=decide)
    staged = drawn.withColumn("arm", arm(exploration))
    counts = {row["arm"]: row["count"] for row in staged.groupBy("arm").count().collect()}
    explored = staged.where(F.col("arm") == "explore").groupBy("explore_offer_id").count().collect()
    assert exploration.share == 0.5
    assert counts["holdout"] == pytest.approx(1600, abs=4 * 36)
    assert counts["explore"] == pytest.approx(3200, abs=4 * 44)
    assert {row["explore_offer_id"] for row in explored} == {None, "o0", "o1", "o2"}
    assert all(row["count"] == pytest.approx(800, abs=4 * 28) for row in explored)
    # The holdout stays when the seed of the run changes; the explorers do not.
    again = draws(users, pairs, as_of=DAY, seed=8, settings=decide).withColumn("arm", arm(exploration))
    both = staged.join(again.select("user_id", F.col("arm").alias("other")), on="user_id", how="inner")
    moved = both.groupBy(F.col("arm") == "holdout", F.col("other") == "holdout").count().collect()
    assert sorted(row["count"] for row in moved) == sorted([counts["holdout"], 8000 - counts["holdout"]])
    assert both.where((F.col("arm") == "explore") & (F.col("other") == "model")).count() > 1000
    drawn.unpersist()


def test_exploration_shrinks_to_its_part_of_the_budget(spark: SparkSession, settings: Settings) -> None:
    decide = settings.decide.model_copy(
        update={"holdout_share": 0.1, "explore_share": 0.5, "budget": 400.0, "explore_budget_share": 0.25}
    )
    users, pairs = inputs(spark, 4000, 3)
    drawn = draws(users, pairs, as_of=DAY, seed=7, settings=decide)
    exploration = fit_exploration(drawn, settings=decide)
    explorers = drawn.where(arm(exploration) == "explore")
    spent = explorers.agg(F.sum("explore_cost")).collect()[0][0]
    assert 98.0 <= spent <= 100.0
    assert exploration.spend == spent
    # Mean cost of a choice is (0 + 0 + 1 + 2) / 4, so about 133 of the 3,600 users outside the holdout explore.
    assert exploration.share == pytest.approx(100 / 0.75 / 3600, rel=0.25)


def test_no_budget_leaves_no_paid_exploration(spark: SparkSession, settings: Settings) -> None:
    decide = settings.decide.model_copy(update={"explore_share": 0.5, "budget": 0.0})
    users, pairs = inputs(spark, 500, 3)
    drawn = draws(users, pairs, as_of=DAY, seed=7, settings=decide)
    exploration = fit_exploration(drawn, settings=decide)
    explorers = drawn.where(arm(exploration) == "explore")
    assert exploration.spend == 0.0
    assert exploration.share < 0.05
    assert (explorers.agg(F.sum("explore_cost")).collect()[0][0] or 0.0) == 0.0


def test_propensity_counts_every_way_to_the_choice(spark: SparkSession) -> None:
    rows = [
        ("the model's", "a", "a", 3, 0.9 * (0.2 / 4 + 0.8)),
        ("an explorer's", "b", "a", 3, 0.9 * 0.2 / 4),
        ("nothing, not the model's", None, "a", 3, 0.1 + 0.9 * 0.2 / 4),
        ("nothing, the model's too", None, None, 3, 0.1 + 0.9 * (0.2 / 4 + 0.8)),
        ("nothing possible", None, None, 0, 1.0),
    ]
    frame = spark.createDataFrame(
        rows, "what string, offer_id string, model_offer_id string, options int, expected double"
    )
    found = frame.withColumn("propensity", propensity(holdout_share=0.1, explore_share=0.2)).collect()
    assert {row["what"]: row["propensity"] for row in found} == pytest.approx({row[0]: row[4] for row in rows})


def test_propensities_of_a_users_options_sum_to_one(spark: SparkSession) -> None:
    options = [("a", "b"), ("b", "b"), ("c", "b"), (None, "b")]
    frame = spark.createDataFrame([(*row, 3) for row in options], "offer_id string, model_offer_id string, options int")
    total = frame.select(F.sum(propensity(holdout_share=0.05, explore_share=0.05))).collect()[0][0]
    assert total == pytest.approx(1.0)
