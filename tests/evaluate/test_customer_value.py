"""Who foresees purchases and money better, on a few customers whose errors can be worked out by hand."""

from __future__ import annotations

import math

import pandas as pd
import pytest
from pyspark.sql import SparkSession

from offerlake.evaluate.customer_value import BOOSTED, MODEL, RATE, column, judged, past_rate

CAME = {"purchases": [0, 0, 1, 2, 5], "money": [0.0, 0.0, 30.0, 50.0, 120.0]}
FORESEEN = {
    column(MODEL, "purchases"): [0.2, 0.4, 1.0, 2.0, 4.4],
    column(RATE, "purchases"): [1.0, 0.0, 0.0, 4.0, 5.0],
    column(MODEL, "money"): [5.0, 10.0, 25.0, 50.0, 110.0],
    column(RATE, "money"): [20.0, 0.0, 0.0, 80.0, 120.0],
    column(BOOSTED, "money"): [120.0, 50.0, 30.0, 0.0, 0.0],
}


def test_the_numbers_are_those_of_their_definitions(spark: SparkSession) -> None:
    given = pd.DataFrame({"user_id": list("abcde"), **CAME, **FORESEEN})
    found = {number.name: number for number in judged(spark.createDataFrame(given), samples=200, seed=1)}

    assert found["clv.judged_users"].value == 5
    for who, what, name in ((MODEL, "purchases", "clv.purchases"), (RATE, "money", "clv.rate.money")):
        error = given[column(who, what)] - given[what]
        assert found[f"{name}.rmse"].value == pytest.approx(math.sqrt((error**2).mean()))
        assert found[f"{name}.mae"].value == pytest.approx(error.abs().mean())
        assert found[f"{name}.calibration"].value == pytest.approx(given[column(who, what)].sum() / given[what].sum())
        rank = given[column(who, what)].corr(given[what], method="spearman")
        assert found[f"{name}.rank_correlation"].value == pytest.approx(rank)
    assert found["clv.boosted.money.rank_correlation"].value == pytest.approx(
        given[column(BOOSTED, "money")].corr(given["money"], method="spearman")
    )
    gain = found["clv.purchases.gain"]
    rate, ours = (((given[column(who, "purchases")] - given["purchases"]) ** 2).mean() for who in (RATE, MODEL))
    assert gain.value == pytest.approx(1 - ours / rate)
    assert gain.low is not None
    assert gain.high is not None
    assert gain.low < gain.value < gain.high
    boosted = found["clv.boosted.money.gain"].value
    assert boosted is not None
    assert boosted < 0, "the worse one is told to be worse"
    assert "clv.rate.money.gain" not in found
    assert "clv.boosted.purchases.rmse" not in found


def test_the_past_rate_goes_on_as_before(spark: SparkSession) -> None:
    rows = [("a", 3, 60, 20.0), ("b", 0, 10, None)]
    frame = spark.createDataFrame(rows, "user_id string, frequency int, age_days int, monetary double")
    found = past_rate(frame, days=40).orderBy("user_id").collect()
    assert [row[column(RATE, "purchases")] for row in found] == [2.0, 0.0]
    assert [row[column(RATE, "money")] for row in found] == [40.0, 0.0]


def test_nobody_to_judge_is_told(spark: SparkSession) -> None:
    given = pd.DataFrame({"user_id": ["a"], **{name: [float(values[0])] for name, values in (CAME | FORESEEN).items()}})
    found = judged(spark.createDataFrame(given).where("false"), samples=10, seed=1)
    assert [(number.name, number.value) for number in found] == [("clv.judged_users", 0.0)]
    alone = {number.name: number.value for number in judged(spark.createDataFrame(given), samples=10, seed=1)}
    assert alone["clv.purchases.calibration"] is None, "nothing came"
    assert alone["clv.purchases.rank_correlation"] is None
