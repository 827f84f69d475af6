"""What a response model looks at: the mean size of each column's Shapley values, over some of the examples."""

from __future__ import annotations

from typing import Any

import numpy as np
from pyspark.ml.functions import vector_to_array
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from offerlake.randomness import uniform
from offerlake.response.features import VECTOR, Columns, Numbers, encode, matrix
from offerlake.response.models import ResponseModel
from offerlake.response.shap import by_source, read_trees


def importance(
    model: ResponseModel, examples: DataFrame, columns: Columns, *, folder: str, most: int, seed: int
) -> dict[str, float]:
    """The mean absolute Shapley value of each column, in log odds before calibration.

    Each row is explained by the model of its user's fold, which has not seen him. Of boosted trees the values are exact
    (`shap`; those of xgboost are its own), of the logistic regression they are β·(x − mean of x).

    Args:
        model: A trained model.
        examples: The table `examples`; rows are drawn by `exposure_id` and come to the driver.
        columns: What the model sees.
        folder: Where the model was saved.
        most: Rows that are explained.
        seed: Of the draw.

    Returns:
        Column to value, the largest first.
    """
    some = examples.orderBy(uniform(seed, "importance", F.col("exposure_id")), "exposure_id").limit(most)
    rows = (
        encode(some, model.encoding)
        .select(model.fold().alias("fold"), vector_to_array(F.col(VECTOR)).alias("x"))
        .toArrow()
        .combine_chunks()
    )
    sources = [*columns.numbers, *columns.flagged]
    sources += [name for name, values in columns.categories.items() for _ in values]
    x, fold = matrix(rows["x"].combine_chunks(), len(sources)), rows["fold"].to_numpy()
    names: list[str] = list(dict.fromkeys(sources))
    total = np.zeros(len(names))
    for number in range(model.folds):
        mine = x[fold == number]
        if len(mine):
            values = _explained(examples.sparkSession, model, number, mine, folder, mean=x.mean(axis=0))
            total += np.abs(by_source(values, sources)[1]).sum(axis=0)
    means = total / max(len(x), 1)
    return {names[place]: float(means[place]) for place in np.argsort(-means, kind="stable")}


def _explained(
    spark: SparkSession, model: ResponseModel, number: int, x: Numbers, folder: str, *, mean: Numbers
) -> Numbers:
    """The Shapley values of some rows by the model of a fold: rows × slots."""
    stage: Any
    (stage,) = model.models[number].stages
    if model.engine == "logistic":
        values: Numbers = np.asarray(stage.coefficients.toArray()) * (x - mean)
        return values
    if model.engine == "xgboost":
        import xgboost

        booster = stage.get_booster()
        told: Numbers = np.asarray(booster.predict(xgboost.DMatrix(x), pred_contribs=True), dtype=np.float64)
        return told[:, :-1]
    return read_trees(spark, f"{folder}/fold={number}/stages/0_{stage.uid}").explain(x)
