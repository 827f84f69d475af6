"""The planted examples, written once."""

from __future__ import annotations

import pytest
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from deep.planted import TURN, USERS, written
from offerlake.config import Settings
from offerlake.deep.data import Span, shares
from offerlake.deep.encode import learn
from offerlake.deep.train import Task


@pytest.fixture(scope="package")
def root(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A lake whose path has a space."""
    return str(tmp_path_factory.mktemp("deep") / "my lake")


@pytest.fixture(scope="package")
def examples(spark: SparkSession, root: str) -> DataFrame:
    """4,000 examples of 1,000 users in the lake."""
    return written(spark, root, users=USERS)


@pytest.fixture(scope="package")
def task(examples: DataFrame, settings: Settings) -> Task:
    """A task for one rank: three rounds to learn from, the fourth to validate on."""
    return Task(
        shards=(tuple(shares(examples, shards=1)[0]),),
        encoding=learn(examples.where(F.col("shown_date") < F.lit(TURN.date())), vocabulary=10),
        label="responded",
        train=Span(None, TURN),
        validation=Span(TURN, None),
        seed=7,
        folds=2,
        settings=settings.deep.model_copy(update={"processes": 1, "epochs": 6, "batch": 64}),
    )
