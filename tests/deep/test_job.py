"""The job train_deep: a model that can be loaded again, its numbers, and no checkpoints left."""

from __future__ import annotations

from datetime import date

import pytest
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from offerlake import files
from offerlake.artifacts import Artifacts
from offerlake.config import Settings
from offerlake.deep.score import FILES, DeepModel, score
from offerlake.job import execute
from offerlake.pipeline import load_jobs
from offerlake.tables import Lake


def test_trains_publishes_and_measures(spark: SparkSession, settings: Settings, examples: DataFrame, root: str) -> None:
    deep = settings.deep.model_copy(update={"processes": 1, "batch": 64, "epochs": 6})
    run = settings.run.model_copy(update={"lake": root})
    job = load_jobs()["train_deep"]
    chosen = settings.model_copy(update={"deep": deep, "run": run})
    assert job.when(chosen)
    assert not job.when(settings.model_copy(update={"deep": deep.model_copy(update={"enabled": False})}))
    execute(job, spark=spark, settings=chosen, as_of=date(2025, 5, 1), run_id="run1")

    lake = Lake(spark, root)
    metrics = {(row["name"], row["slice"]): row for row in lake.read("metrics").collect()}
    auc = metrics["deep.auc", "all"]
    assert 0.65 < auc["low"] < auc["value"] < auc["high"] < 0.85
    assert metrics["deep.epochs", "fold=0"]["value"] <= 6
    assert metrics["deep.validation_log_loss", "fold=1"]["value"] == pytest.approx(
        metrics["deep.log_loss", "all"]["value"], abs=0.1
    )
    row = lake.read("models").first()
    assert row is not None
    assert row["metrics"] == {name: metrics[name, "all"]["value"] for name in ("deep.auc", "deep.log_loss")}
    live = Artifacts(lake).load("deep")
    assert (live.settings["epochs"], live.settings["folds"], live.settings["seed"]) == (6, 2, chosen.run.seed)
    assert live.settings["label"] == "responded"
    model = DeepModel.of(*(files.read_bytes(spark, live.file(name)) for name in FILES))
    scores = score(examples, model).agg(F.min("p_deep"), F.max("p_deep")).collect()[0]
    assert 0 < scores[0] < 0.2
    assert 0.5 < scores[1] < 1
    assert files.names(spark, f"{root}/models/deep") == [live.version]
