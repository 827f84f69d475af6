"""Shapley values of Spark ML's trees: against every subset of features, and as parts of the model's own predictions."""

from __future__ import annotations

import itertools
import math
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from pyspark.ml import Model
from pyspark.ml.classification import DecisionTreeClassifier, GBTClassifier, LogisticRegression, RandomForestClassifier
from pyspark.ml.feature import VectorIndexer
from pyspark.ml.functions import vector_to_array
from pyspark.ml.linalg import Vectors
from pyspark.ml.regression import DecisionTreeRegressor, GBTRegressor, RandomForestRegressor
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from offerlake.errors import DataError
from offerlake.response.shap import _by_tree, by_source, read_trees

Doubles = npt.NDArray[np.float64]
CATEGORIES = 5


@pytest.fixture(scope="module")
def rows(spark: SparkSession) -> DataFrame:
    """x: a number, a category of five values, a number that is often 0, a category of three; y 0 or 1, and weights."""
    random = np.random.default_rng(4)
    size = 400
    x = np.column_stack(
        [
            random.normal(size=size),
            random.integers(0, CATEGORIES, size),
            np.maximum(random.normal(size=size), 0),
            random.integers(0, 3, size),
        ]
    )
    y = (x[:, 0] + np.isin(x[:, 1], (1, 3)) * (x[:, 2] > 0.5) * 2 + random.normal(0, 0.3, size) > 0.6).astype(float)
    frame = spark.createDataFrame(
        [(Vectors.dense(a), float(b), float(1 + i % 3)) for i, (a, b) in enumerate(zip(x.tolist(), y, strict=True))],
        ["x", "y", "w"],
    )
    indexed = VectorIndexer(inputCol="x", outputCol="z", maxCategories=CATEGORIES).fit(frame).transform(frame)
    return indexed.cache()


def known(tree: dict[int, Any], row: Doubles, features: set[int], *, classifies: bool) -> float:
    """What a tree says where only some features are known, as a walk down (Lundberg et al. 2018, algorithm 1)."""

    def size(node: Any) -> float:
        return sum(node["impurityStats"]) if classifies else node["impurityStats"][0]

    def walk(number: int) -> float:
        node = tree[number]
        if node["leftChild"] < 0:
            return node["impurityStats"][1] / size(node) if classifies else node["prediction"]
        split, sides = node["split"], (node["leftChild"], node["rightChild"])
        if split["featureIndex"] not in features:
            return sum(walk(side) * size(tree[side]) for side in sides) / size(node)
        value, wanted = row[split["featureIndex"]], split["leftCategoriesOrThreshold"]
        left = value in wanted if split["numCategories"] >= 0 else value <= wanted[0]
        return walk(sides[0] if left else sides[1])

    return walk(0)


def plain(trees: dict[int, dict[int, Any]], weights: list[float], row: Doubles, *, classifies: bool) -> Doubles:
    """The Shapley values by their definition: the mean gain of a feature over all sets of the others."""
    features = range(len(row))
    worth = {
        some: sum(
            weight * known(tree, row, set(some), classifies=classifies)
            for weight, tree in zip(weights, trees.values(), strict=True)
        )
        for k in range(len(row) + 1)
        for some in itertools.combinations(features, k)
    }
    found = np.zeros(len(row))
    for some, value in worth.items():
        for feature in set(features) - set(some):
            share = math.factorial(len(some)) * math.factorial(len(row) - len(some) - 1) / math.factorial(len(row))
            found[feature] += share * (worth[tuple(sorted({*some, feature}))] - value)
    return found


SETTINGS: dict[str, Any] = {"featuresCol": "z", "labelCol": "y", "weightCol": "w", "maxDepth": 4, "seed": 3}


@pytest.mark.parametrize(
    ("made", "more"),
    [
        (GBTClassifier, {"maxIter": 4}),
        (GBTRegressor, {"maxIter": 3}),
        (RandomForestClassifier, {"numTrees": 3}),
        (RandomForestRegressor, {"numTrees": 3}),
        (DecisionTreeClassifier, {}),
        (DecisionTreeRegressor, {}),
    ],
)
def test_they_are_the_shapley_values_and_add_up_to_the_prediction(
    spark: SparkSession, rows: DataFrame, made: Any, more: dict[str, int], tmp_path: Path
) -> None:
    model: Model = made(**SETTINGS, **more).fit(rows)
    model.write().save(str(tmp_path / "m"))  # type: ignore[attr-defined]
    x = np.array(rows.select(vector_to_array("z")).limit(40).toPandas().iloc[:, 0].to_list())

    trees = read_trees(spark, str(tmp_path / "m"))
    found = trees.explain(x)

    kind = made.__name__
    said = model.transform(rows).limit(40)
    if kind == "GBTClassifier":
        chance = np.array([row[0] for row in said.select(vector_to_array("probability")[1]).collect()])
        expected = np.log(chance / (1 - chance))
    elif kind.endswith("Classifier"):
        expected = np.array([row[0] for row in said.select(vector_to_array("probability")[1]).collect()])
    else:
        expected = np.array([row[0] for row in said.select("prediction").collect()])
    np.testing.assert_allclose(trees.base + found.sum(axis=1), expected, atol=1e-9)

    nodes = spark.read.parquet(str(tmp_path / "m" / "data"))
    if "nodeData" not in nodes.columns:
        nodes = nodes.select(F.lit(0).alias("treeID"), F.struct("*").alias("nodeData"))
    by_tree = _by_tree(nodes)
    weights = getattr(model, "treeWeights", [1.0])
    if kind.startswith("RandomForest"):
        weights = [1 / len(by_tree)] * len(by_tree)
    if kind == "GBTClassifier":
        weights = [2 * weight for weight in weights]
    classifies = kind in {"RandomForestClassifier", "DecisionTreeClassifier"}
    for row, values in zip(x[:12], found, strict=False):
        np.testing.assert_allclose(values, plain(by_tree, weights, row, classifies=classifies), atol=1e-6)


def test_a_category_that_training_did_not_know_goes_the_way_that_spark_sends_it(
    spark: SparkSession, rows: DataFrame, tmp_path: Path
) -> None:
    model = DecisionTreeRegressor(**SETTINGS).fit(rows)
    model.write().save(str(tmp_path / "m"))
    x = np.array(rows.select(vector_to_array("z")).limit(60).toPandas().iloc[:, 0].to_list())
    x[:, 1] = CATEGORIES + 2

    trees = read_trees(spark, str(tmp_path / "m"))

    said = [model.predict(Vectors.dense(row)) for row in x.tolist()]
    np.testing.assert_allclose(trees.base + trees.explain(x).sum(axis=1), said, atol=1e-9)


def test_slots_of_one_column_are_added() -> None:
    names, values = by_source(np.array([[1.0, 2.0, 4.0], [0.0, -1.0, 1.0]]), ["kind", "age", "kind"])

    assert names == ["kind", "age"]
    assert values.tolist() == [[5.0, 2.0], [1.0, -1.0]]


def test_what_has_no_trees_is_told(spark: SparkSession, rows: DataFrame, tmp_path: Path) -> None:
    LogisticRegression(featuresCol="z", labelCol="y").fit(rows).write().save(str(tmp_path / "m"))

    with pytest.raises(DataError, match="LogisticRegressionModel is no tree ensemble"):
        read_trees(spark, str(tmp_path / "m"))
