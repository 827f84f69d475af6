"""The engine xgboost: it learns, and what it lacks is told before anything runs."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
from pyspark.ml import PipelineModel
from pyspark.ml.functions import array_to_vector
from pyspark.sql import SparkSession

from offerlake import pipeline
from offerlake.config import Settings
from offerlake.errors import EnvironmentProblem
from offerlake.job import Job, main
from offerlake.response.features import VECTOR
from offerlake.response.models import LABEL, WEIGHT, chance, estimator
from offerlake.tables import Lake
from offerlake.windows import parse_as_of

DAY = "2025-09-03"


@pytest.fixture
def job() -> Job:
    """The job that trains the engine."""
    return pipeline.load_jobs()["train_response"]


@pytest.fixture
def boosted(settings: Settings) -> Settings:
    """The settings with a small xgboost."""
    own = {"engine": "xgboost", "trees": 20, "depth": 2, "step": 0.3}
    return settings.model_copy(update={"response": settings.response.model_copy(update=own)})


def test_it_learns_what_no_line_can_and_comes_back_from_its_files(
    spark: SparkSession, boosted: Settings, tmp_path: Path
) -> None:
    """400 rows whose label is 1 with probability 0.9 where one of two numbers is between −0.7 and 0.7, else 0.1."""
    draw = np.random.default_rng(3)
    numbers = draw.normal(size=(400, 2))
    inside = np.abs(numbers[:, 0]) < 0.7
    ones = (draw.random(400) < np.where(inside, 0.9, 0.1)).astype(float)
    made = [(row, [*map(float, numbers[row])], float(ones[row]), 1.0) for row in range(400)]
    frame = spark.createDataFrame(made, f"row int, given array<double>, {LABEL} double, {WEIGHT} double")
    frame = frame.withColumn(VECTOR, array_to_vector("given"))
    fitted = estimator("xgboost", boosted.response, rows=400.0, seed=7).fit(frame)
    PipelineModel([fitted]).write().save(f"file://{tmp_path}/model")
    told = chance(PipelineModel.load(f"file://{tmp_path}/model"), frame, column="p").select("row", "p").collect()
    p = np.array([row["p"] for row in sorted(told)])
    assert p[inside].mean() == pytest.approx(0.9, abs=0.06)
    assert p[~inside].mean() == pytest.approx(0.1, abs=0.06)


@pytest.mark.parametrize("missing", ["xgboost", "sklearn"])
def test_a_missing_package_is_told_before_the_first_job(
    spark: SparkSession, boosted: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, missing: str, job: Job
) -> None:
    monkeypatch.setitem(sys.modules, missing, None)
    lake = Lake(spark, str(tmp_path / "lake"))
    mine = boosted.model_copy(update={"run": boosted.run.model_copy(update={"lake": lake.root})})
    with pytest.raises(EnvironmentProblem) as caught:
        pipeline.run(spark, mine, parse_as_of(DAY))
    assert caught.value.message == (
        f"job train_response: response.engine is xgboost, the package {missing} is not installed"
    )
    assert "offerlake[boost]" in caught.value.fix
    assert not lake.exists("runs"), "nothing has begun"
    gbt = boosted.response.model_copy(update={"engine": "gbt"})
    assert job.when(boosted.model_copy(update={"response": gbt}))


def test_alone_the_job_tells_it_before_spark_starts(
    job: Job, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "xgboost", None)
    monkeypatch.setattr("offerlake.job.open_session", lambda *_, **__: pytest.fail("Spark was started"))
    with pytest.raises(SystemExit) as ended:
        main(job, ["--as-of", DAY, "--set", "response.engine=xgboost"])
    assert ended.value.code == 1
    assert capsys.readouterr().err.startswith("EnvironmentProblem: job train_response: response.engine is xgboost")
