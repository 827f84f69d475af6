"""The whole model on Spark: equal to NumPy, to partitions in another order, and to what it was told to mean."""

from __future__ import annotations

import json
from datetime import timedelta
from itertools import pairwise

import numpy as np
import pandas as pd
import pytest
from pyspark.sql import DataFrame, SparkSession

from offerlake.config import Settings
from offerlake.value.bgnbd import BgNbd, expected_purchases
from offerlake.value.boosted import predict, train
from offerlake.value.clv import SCORES, ClvModel, fit, score, scores
from offerlake.value.gammagamma import GammaGamma
from offerlake.value.histories import RECENT, outcomes, summary
from value import made

MODEL = ClvModel(
    purchases=BgNbd(0.243, 4.414, 0.793, 2.426, log_likelihood=-1.0, errors=(0.1, 0.1, np.inf, 2.0), customers=9),
    value=GammaGamma(6.25, 3.74, 15.45, log_likelihood=-1.0, errors=(0.1,) * 3, customers=5),
    grain_days=1,
    correlation=0.1,
)
HISTORY = {
    "frequency": [0, 0, 2, 2, 700], "recency_days": [0, 0, 213, 30, 720],
    "age_days": [1, 270, 272, 272, 730], "monetary": [None, None, 22.35, 22.35, 12.0],
}  # fmt: skip


@pytest.fixture(scope="module")
def days(spark: SparkSession) -> DataFrame:
    rows = [(user, day, day + 1, 1, spent) for user, day, spent in made.purchases(800, days=240, seed=8)]
    return made.user_days(spark, rows).cache()


def test_spark_gives_what_numpy_gives(spark: SparkSession, settings: Settings) -> None:
    given = pd.DataFrame(HISTORY).assign(user_id=list("abcde"))
    kinds = "frequency int, recency_days int, age_days int, monetary double, user_id string"
    frame = spark.createDataFrame(given.astype(object).where(given.notna(), None).to_numpy().tolist(), kinds)
    columns = [np.nan_to_num(np.array(HISTORY[name], dtype=np.float64)) for name in HISTORY]
    want = scores(MODEL, *columns, settings=settings.clv)

    found = score(frame.repartition(3), MODEL, settings=settings.clv).orderBy("user_id").toPandas()
    for name in SCORES:
        assert found[name].to_numpy() == pytest.approx(want[name], abs=1e-9), name
    assert list(found.columns[: len(HISTORY)]) == list(HISTORY)
    without = score(frame, ClvModel(MODEL.purchases, None, 1, None), settings=settings.clv).toPandas()
    money = ["purchase_value", "expected_value", "clv", "next_value"]
    assert without[money].isna().all(axis=None)
    assert without["expected_purchases"].notna().all()


def test_money_later_is_worth_less(settings: Settings) -> None:
    columns = [np.nan_to_num(np.array(HISTORY[name], dtype=np.float64)) for name in HISTORY]
    short = settings.clv.model_copy(update={"horizon_weeks": 10, "discount_rate": 0.2})
    found = scores(MODEL, *columns, settings=short)
    x, recency, age = columns[0], columns[1] / 7, columns[2] / 7
    until = [expected_purchases(MODEL.purchases, x, recency, age, horizon=t) for t in (4.0, 8.0, 10.0)]
    parts = [until[0], until[1] - until[0], until[2] - until[1]]
    discounted = sum(part / 1.2 ** (t / 52) for part, t in zip(parts, (4, 8, 10), strict=True))
    assert found["clv"] == pytest.approx(discounted * found["purchase_value"], rel=1e-12)
    assert found["expected_purchases"] == pytest.approx(until[2], rel=1e-12)
    free = scores(MODEL, *columns, settings=short.model_copy(update={"discount_rate": 0.0}))
    assert free["clv"] == pytest.approx(free["expected_value"], rel=1e-12)
    assert (found["clv"] < free["clv"]).all()


def test_the_parameters_are_told_with_what_is_not_known() -> None:
    assert MODEL.parameters["alpha"] == (4.414, True)
    assert [name for name, (_, identified) in MODEL.parameters.items() if not identified] == ["a", "b"]
    content = json.loads(json.dumps(MODEL.as_dict(), allow_nan=False))
    assert content["purchases"]["errors"] == [0.1, 0.1, None, 2.0]
    assert content["purchases"]["unidentified"] == ["a", "b"]
    assert content["value"]["q"] == 3.74


def test_a_fit_is_the_same_however_users_are_parted(days: DataFrame) -> None:
    customers = summary(made.START + timedelta(days=240), days)
    one, other = fit(customers.coalesce(1), most=10_000), fit(customers.repartition(5), most=10_000)
    assert one is not None
    assert one == other
    assert one.value is not None
    assert one.value.p * one.value.v / (one.value.q - 1) == pytest.approx(
        np.exp(3.0 + 0.5**2 / 2 + 0.3**2 / 2), rel=0.1
    )
    assert fit(customers.where("false"), most=10_000) is None
    once = fit(customers.where("frequency = 0"), most=10_000)
    assert once is not None
    assert once.value is None
    assert {"a", "b"} <= set(once.purchases.unidentified)


def test_boosting_learns_from_the_past_and_foresees_totals(days: DataFrame, settings: Settings) -> None:
    """The sum foreseen within 25 % of what came: 56 days of 800 customers, by ten trees."""
    cuts = [made.START + timedelta(days=day) for day in (128, 184, 240)]
    frames = []
    for start, end in pairwise(cuts):
        known = summary(start, days)
        frames.append(known.join(outcomes(known, days, cut=start, as_of=end), on="user_id", how="inner"))
    model = train(frames[0], settings=settings.clv, seed=1)
    assert model is not None
    assert model.factor > 1, "the mean of a log-normal lies above the exponential of its logarithm's"
    found = predict(frames[1], model, column="foreseen").toPandas()
    assert found["foreseen"].min() >= 0
    assert found["foreseen"].sum() == pytest.approx(found["money"].sum(), rel=0.25)
    assert found["foreseen"].corr(found["money"], method="spearman") > 0.5
    assert {"frequency", *RECENT} <= set(found.columns)

    again = train(frames[0].repartition(5), settings=settings.clv, seed=1)
    assert again is not None
    same = predict(frames[1], again, column="foreseen").toPandas().set_index("user_id")["foreseen"]
    assert same.to_dict() == found.set_index("user_id")["foreseen"].to_dict()
    assert train(frames[0].limit(15), settings=settings.clv, seed=1) is None
