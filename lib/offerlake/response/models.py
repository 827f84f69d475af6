"""The response model: its engines, and the cross-fitted whole that is saved, loaded and used to predict."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, Literal, cast

from pyspark.ml import Estimator, Model, PipelineModel
from pyspark.ml.classification import GBTClassifier, LogisticRegression
from pyspark.ml.functions import vector_to_array
from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F

from offerlake.config import ResponseSettings
from offerlake.errors import DataError
from offerlake.randomness import fold
from offerlake.response.calibration import Calibration
from offerlake.response.features import CONTEXT, VECTOR, as_nothing, encode

Engine = Literal["gbt", "xgboost", "logistic"]
BASELINE: Engine = "logistic"
LABEL, WEIGHT = "y", "weight"
"""Columns of the encoded rows: the label as double, and how many rows a row stands for."""


def estimator(engine: Engine, settings: ResponseSettings, *, rows: float, seed: int) -> Estimator[Any]:
    """An unfitted classifier of `LABEL` by `VECTOR`; it adds a column `probability`.

    Args:
        engine: `gbt` (Spark ML), `xgboost`, or `logistic`, the baseline.
        settings: Section `response`.
        rows: Rows that the training rows stand for: the baseline's penalty is the settings' over this.
        seed: Of the engine's own draws.
    """
    if engine == "logistic":
        return LogisticRegression(
            featuresCol=VECTOR, labelCol=LABEL, weightCol=WEIGHT, regParam=settings.ridge / rows, maxIter=50, tol=1e-6
        )
    if engine == "gbt":
        return GBTClassifier(
            featuresCol=VECTOR,
            labelCol=LABEL,
            weightCol=WEIGHT,
            maxIter=settings.trees,
            maxDepth=settings.depth,
            stepSize=settings.step,
            maxBins=32,
            minInstancesPerNode=settings.leaf,
            cacheNodeIds=True,
            checkpointInterval=-1,
            maxMemoryInMB=512,
            seed=seed,
        )
    from xgboost.spark import SparkXGBClassifier

    return cast(
        "Estimator[Any]",
        SparkXGBClassifier(
            features_col=VECTOR,
            label_col=LABEL,
            weight_col=WEIGHT,
            n_estimators=settings.trees,
            max_depth=settings.depth,
            learning_rate=settings.step,
            min_child_weight=1,
            tree_method="hist",
            num_workers=1,
            random_state=seed,
            verbosity=0,
        ),
    )


def chance(model: Model, frame: DataFrame, *, column: str) -> DataFrame:
    """Adds P(label = 1) by a fitted classifier, not calibrated, to rows that have the vector."""
    kept = frame.columns
    return model.transform(frame).select(*kept, F.element_at(vector_to_array(F.col("probability")), 2).alias(column))


@dataclass(frozen=True)
class ResponseModel:
    """P(label | user, offer), cross-fitted: a user's number comes from the model of his fold, trained without him.

    Attributes:
        label: The column of `examples` it is the probability of.
        engine: What validation chose.
        seed: `run.seed`: with `folds` it says which fold a user is in.
        encoding: From the columns of `examples` to `VECTOR`; the same for all folds.
        models: One classifier a fold, from `VECTOR` to `probability`.
        offered: One calibration a fold, for rows with an offer.
        nothing: The same for rows without; empty where the data has no control group.
    """

    label: str
    engine: Engine
    seed: int
    encoding: PipelineModel
    models: tuple[PipelineModel, ...]
    offered: tuple[Calibration, ...]
    nothing: tuple[Calibration, ...]

    @property
    def folds(self) -> int:
        """Number of folds."""
        return len(self.models)

    def fold(self) -> Column:
        """The fold of a row's user, from 0."""
        return fold(self.seed, "fold", self.folds, F.col("user_id"))

    def predict(self, frame: DataFrame, *, column: str) -> DataFrame:
        """Adds the calibrated P(label | the row's offer), 0 to 1.

        Args:
            frame: Rows with `user_id` and the feature columns of `examples`; a row whose kind is `none` has no offer.
            column: Name of the new column.
        """
        return self._predict(frame, column=column, calibrations=self.offered, of_none=self.nothing or self.offered)

    def predict_nothing(self, frame: DataFrame, *, column: str) -> DataFrame:
        """Adds the calibrated P(label | nothing) of the row's user, 0 to 1.

        Args:
            frame: Rows with `user_id` and the USER_FEATURE_COLUMNS; what it says of an offer does not count.
            column: Name of the new column.

        Raises:
            DataError: The data had no control group.
        """
        if not self.nothing:
            raise DataError(
                "model response: trained without a control group", fix="P(label | nothing) is not known; leave it null."
            )
        own = [name for name in frame.columns if name in CONTEXT]
        blank = as_nothing(frame.withColumn("_own", F.struct(*own)) if own else frame)
        done = self._predict(blank, column=column, calibrations=self.nothing, of_none=self.nothing)
        return done.select(*[F.col(f"_own.{name}" if name in own else name) for name in frame.columns], column)

    def _predict(
        self, frame: DataFrame, *, column: str, calibrations: tuple[Calibration, ...], of_none: tuple[Calibration, ...]
    ) -> DataFrame:
        kept = frame.columns
        encoded = encode(frame, self.encoding)
        for number, model in enumerate(self.models):
            encoded = chance(model, encoded, column=f"_p{number}")
        value: Column = F.lit(None).cast("double")
        for number in range(self.folds):
            raw = F.col(f"_p{number}")
            fitting = F.when(F.col("kind") == "none", of_none[number].column(raw)).otherwise(
                calibrations[number].column(raw)
            )
            value = F.when(self.fold() == number, fitting).otherwise(value)
        return encoded.select(*kept, F.round(value, 9).alias(column))

    def save(self, folder: str) -> bytes:
        """Writes the pipelines below `folder` and returns the rest, for `folder/response.json`."""
        self.encoding.write().overwrite().save(f"{folder}/encoding")
        for number, model in enumerate(self.models):
            model.write().overwrite().save(f"{folder}/fold={number}")
        content = {
            "label": self.label,
            "engine": self.engine,
            "seed": self.seed,
            "folds": self.folds,
            "offered": [calibration.as_dict() for calibration in self.offered],
            "nothing": [calibration.as_dict() for calibration in self.nothing],
        }
        return json.dumps(content, indent=1).encode()

    @staticmethod
    def load(spark: SparkSession, folder: str) -> ResponseModel:
        """Reads what `save` wrote."""
        content = json.loads(read_text(spark, f"{folder}/response.json"))
        return ResponseModel(
            label=content["label"],
            engine=content["engine"],
            seed=content["seed"],
            encoding=PipelineModel.load(f"{folder}/encoding"),
            models=tuple(PipelineModel.load(f"{folder}/fold={number}") for number in range(content["folds"])),
            offered=tuple(Calibration.of(item) for item in content["offered"]),
            nothing=tuple(Calibration.of(item) for item in content["nothing"]),
        )


def read_text(spark: SparkSession, uri: str) -> str:
    """A small text file, whole.

    Raises:
        DataError: It is empty or not there.
    """
    row = spark.read.text(uri, wholetext=True).first()
    if row is None:
        raise DataError(f"file {uri}: empty", fix="Train the model again.")
    return str(row[0])
