"""Training of the response model on a planted shop."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from pyspark.ml import PipelineModel
from pyspark.sql import SparkSession
from pyspark.sql import functions as F
from sklearn.metrics import roc_auc_score

from offerlake.config import ResponseSettings, Settings
from offerlake.errors import DataError
from offerlake.response.calibration import Calibration
from offerlake.response.features import encode
from offerlake.response.importance import importance
from offerlake.response.models import LABEL, WEIGHT, Engine, ResponseModel, estimator
from offerlake.response.train import Trained, labels_of, train_response
from response.planted import START, Shop, frame, shop

SEED, USERS = 7, 10_000


@pytest.fixture(scope="module")
def quick(settings: Settings) -> ResponseSettings:
    return settings.response.model_copy(update={"trees": 3, "depth": 2})


@pytest.fixture(scope="module")
def planted() -> Shop:
    return shop(users=USERS, rounds=4)


@pytest.fixture(scope="module")
def trained(spark: SparkSession, planted: Shop, quick: ResponseSettings) -> Trained:
    return train_response(frame(spark, planted.rows), settings=quick, label="responded", seed=SEED)


def test_the_better_model_on_later_days_is_chosen_and_both_are_told(trained: Trained) -> None:
    losses = {engine: judged.accuracy.log_loss or 9.0 for engine, judged in trained.validation.items()}
    assert set(losses) == {"gbt", "logistic"}
    assert trained.model.engine == min(losses, key=lambda engine: losses[engine])
    assert trained.split.validation_from == START + timedelta(days=42)
    assert trained.rows == {
        "all": 40_000, "fit": 40_000, "train": 30_000, "validation": USERS, "test": 0, "no_history": 0, "straddling": 0
    }  # fmt: skip
    for judged in trained.validation.values():
        assert judged.accuracy.auc is not None
        assert 0.6 < judged.accuracy.auc < 0.85
        assert sum(rows for rows, _, _ in judged.bins) == USERS


def test_columns_that_never_change_are_left_out(trained: Trained) -> None:
    assert "sessions_84d" in trained.columns.numbers
    assert "views_28d" not in trained.columns.numbers
    assert trained.columns.flagged == ("visit_recency_days", "depth")
    assert trained.columns.categories == {
        "region": ("east", "north", "south"),
        "kind": ("content", "gift", "none", "percent_off"),
        "channel": ("(none)", "email"),
    }


@pytest.mark.parametrize("engine", ["logistic", "gbt", "xgboost"])
def test_what_it_looks_at_is_what_decides(
    spark: SparkSession, planted: Shop, trained: Trained, quick: ResponseSettings, engine: Engine, tmp_path: Path
) -> None:
    rows = frame(spark, planted.rows)
    encoded = encode(rows, trained.model.encoding).withColumns(
        {LABEL: F.col("responded").cast("double"), WEIGHT: F.lit(1.0)}
    )
    grown = estimator(engine, quick.model_copy(update={"trees": 10, "depth": 3}), rows=rows.count(), seed=SEED)
    model = replace(trained.model, engine=engine, models=(PipelineModel([grown.fit(encoded)]),) * trained.model.folds)
    model.save(str(tmp_path))

    found = importance(model, rows, trained.columns, folder=str(tmp_path), most=500, seed=1)
    again = importance(model, rows.repartition(5), trained.columns, folder=str(tmp_path), most=500, seed=1)

    assert found == pytest.approx(again)
    assert set(found) == {*trained.columns.numbers, *trained.columns.categories}
    assert [*found.values()] == sorted(found.values(), reverse=True)
    assert next(iter(found)) == "sessions_84d", "the base rate's trait"
    assert found["sessions_84d"] > 0.1
    assert found["region"] < found["sessions_84d"] / 5, "drawn by lot"


def test_predictions_are_calibrated_rank_well_and_know_nothing_from_an_offer(
    spark: SparkSession, planted: Shop, trained: Trained
) -> None:
    rows = frame(spark, planted.rows)
    both = trained.model.predict_nothing(trained.model.predict(rows, column="p"), column="p0")
    assert both.columns == [*rows.columns, "p", "p0"]
    got = both.select("exposure_id", "kind", "p", "p0", "responded").orderBy("exposure_id").toPandas()
    assert list(got["kind"]) == list(planted.rows["kind"])
    truth = np.repeat(planted.base, 4)
    assert np.corrcoef(got["p0"], truth)[0, 1] > 0.7
    assert got["p0"].mean() == pytest.approx(truth.mean(), abs=0.012)
    nothing = got["kind"] == "none"
    np.testing.assert_allclose(got["p"][nothing], got["p0"][nothing])
    assert got["p"].mean() == pytest.approx(got["responded"].mean(), abs=0.012)
    assert roc_auc_score(got["responded"], got["p"]) > 0.65


def test_no_classifier_knows_the_outcomes_of_the_users_it_scores(
    spark: SparkSession, planted: Shop, quick: ResponseSettings, trained: Trained
) -> None:
    """One fold's outcomes of one day are turned round: what their classifier says of its users stays, others' moves.

    Boosting is made so weak that the baseline wins in both worlds, so that it is compared with itself.
    """
    weak = quick.model_copy(update={"trees": 1, "depth": 1, "step": 0.01})
    own = _of_fold(spark, planted, trained, 0)
    turn = planted.rows["user_id"].isin(own) & (planted.rows["shown_date"] == START)
    turned = planted.rows.assign(responded=planted.rows["responded"].where(~turn, 1 - planted.rows["responded"]))
    worlds = (planted.rows, turned)
    models = [train_response(frame(spark, rows), settings=weak, label="responded", seed=SEED).model for rows in worlds]
    assert [model.engine for model in models] == ["logistic", "logistic"]
    left, right = (_said(spark, planted, _raw(model)) for model in models)
    mine = left["user_id"].isin(own)
    assert 4_000 < mine.sum() < 6_000
    np.testing.assert_allclose(left["p"][mine], right["p"][mine], rtol=1e-9)
    moved = np.abs(left["p"][~mine] - right["p"][~mine])
    assert moved.min() > 0.01
    assert moved.mean() > 0.1


def _of_fold(spark: SparkSession, planted: Shop, trained: Trained, number: int) -> list[str]:
    users = frame(spark, planted.rows).where(trained.model.fold() == number).select("user_id").distinct()
    return sorted(users.toPandas()["user_id"])


def _raw(model: ResponseModel) -> ResponseModel:
    same = (Calibration("platt", (-1.0, 1.0), (-1.0, 1.0)),) * model.folds
    return replace(model, offered=same, nothing=same)


def _said(spark: SparkSession, planted: Shop, model: ResponseModel) -> pd.DataFrame:
    """One row a user, in order."""
    return model.predict(frame(spark, planted.rows[::4]), column="p").orderBy("exposure_id").toPandas()


def test_saved_and_loaded_it_predicts_the_same(
    spark: SparkSession, planted: Shop, trained: Trained, tmp_path: Path
) -> None:
    folder = f"file://{tmp_path}/model"
    content = trained.model.save(folder)
    (tmp_path / "model" / "response.json").write_bytes(content)
    again = ResponseModel.load(spark, folder)
    rows = planted.rows[:50].assign(region="unseen", visit_recency_days=np.inf)
    want = trained.model.predict(frame(spark, rows), column="p").orderBy("exposure_id").toPandas()["p"]
    got = again.predict(frame(spark, rows), column="p").orderBy("exposure_id").toPandas()["p"]
    assert list(got) == list(want)
    assert got.between(0, 1, inclusive="neither").all()


def test_days_without_history_and_the_test_days_teach_nothing(
    spark: SparkSession, planted: Shop, quick: ResponseSettings
) -> None:
    last = START + timedelta(days=42)
    rows = planted.rows.copy()
    rows.loc[rows["shown_date"] == START, ["orders_364d", "sessions_364d"]] = 0
    second = rows.index[rows["shown_date"] == START + timedelta(days=14)][:10]
    rows.loc[second, "label_end"] = rows["label_end"].max()  # reaches into the test
    tested = rows["shown_date"] >= last
    rows.loc[tested, "responded"] = np.random.default_rng(0).integers(0, 2, tested.sum(), dtype=np.int32)
    settings = quick.model_copy(update={"test_from": last})
    found = train_response(frame(spark, rows), settings=settings, label="responded", seed=SEED)
    assert found.rows == {
        "all": 40_000, "fit": 19_990, "train": 9_990, "validation": USERS, "test": USERS, "no_history": USERS,
        "straddling": 10,
    }  # fmt: skip
    assert found.test is not None
    assert found.test.accuracy.auc == pytest.approx(0.5, abs=0.05)  # the test's labels are coin flips
    auc = found.validation[found.model.engine].accuracy.auc
    assert auc is not None
    assert auc > 0.6


def test_bad_examples_are_told(spark: SparkSession, planted: Shop, quick: ResponseSettings) -> None:
    few = planted.rows[:400]
    with pytest.raises(DataError, match="never 1"):
        train_response(frame(spark, few.assign(responded=0)), settings=quick, label="responded", seed=SEED)
    one_day = few[few["shown_date"] == START]
    with pytest.raises(DataError, match="shown on 1 day") as told:
        train_response(frame(spark, one_day), settings=quick, label="responded", seed=SEED)
    assert "two" in told.value.fix
    one_user = planted.rows[planted.rows["user_id"] == "u000001"].assign(responded=[0, 1, 0, 1])
    with pytest.raises(DataError, match="without the users of fold") as told:
        train_response(
            frame(spark, one_user),
            settings=quick.model_copy(update={"validation_share": 0.5}),
            label="responded",
            seed=SEED,
        )
    assert "response.folds" in told.value.fix


def test_effects_need_both_arms_at_random(spark: SparkSession, planted: Shop) -> None:
    few = planted.rows[:200]
    assert labels_of(frame(spark, few), label="redeemed") == ("redeemed", "responded")
    assert labels_of(frame(spark, few.assign(propensity=np.nan)), label="redeemed") == ("redeemed",)
    assert labels_of(frame(spark, few.assign(propensity=1.0)), label="redeemed") == ("redeemed",)
    assert labels_of(frame(spark, few[few["treatment"] == 1]), label="responded") == ("responded",)
