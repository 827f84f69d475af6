"""Why a tree ensemble of Spark ML says what it says: exact Shapley values of its features (TreeSHAP, path-dependent).

A prediction is a sum over leaves. A leaf, of value v, is reached where each of the D features on its path lies where
the path wants it (o = 1, else 0); of the training rows that came to its splits a share z went the path's way.
With the features of a set S known and the others averaged over the training rows, as the trees saw them, a leaf gives
v·Π(j ∈ S) o·Π(j ∉ S) z, so that (Lundberg, Erion and Lee 2018, algorithm 2, by polynomials)

    φ_i = v·(o_i − z_i)·Σ_k c_k·k!·(D − 1 − k)!/D!        c_k: the coefficients of Π(j ≠ i) (z_j + o_j·t)

A path has few features, so φ is worked out once for each of the 2^D ways to lie on it; explaining a row takes a
comparison and a look-up per feature and leaf. The values of a row add up to its prediction less the mean one.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from offerlake.errors import DataError

Doubles = npt.NDArray[np.float64]
_MOST = 8  # features on one path: 256 ways to lie on it, 16 kB a leaf
_BLOCK = 8192  # rows explained at once


@dataclass(frozen=True)
class _Part:
    """Where a path wants one feature: above `low` and up to `high` of numbers, or among some categories."""

    feature: int
    share: float
    low: float | None = None
    high: float | None = None
    among: npt.NDArray[np.bool_] | None = None
    unseen: bool = False

    def lies(self, values: Doubles) -> npt.NDArray[np.bool_]:
        """Whether each row does; a split sends NaN, as Spark does, to the right."""
        if self.among is not None:
            code = np.nan_to_num(values, nan=-1).astype(np.int64)
            known = (code >= 0) & (code < len(self.among))
            return np.where(known, self.among[np.where(known, code, 0)], self.unseen)
        inside = np.ones(len(values), dtype=bool)
        if self.low is not None:
            inside &= ~(values <= self.low)
        if self.high is not None:
            inside &= values <= self.high
        return inside


@dataclass(frozen=True)
class _Path:
    """The features of a way to a leaf, and φ of each (rows) for each of the ways to lie on it (columns)."""

    parts: tuple[_Part, ...]
    phi: Doubles


@dataclass(frozen=True)
class Trees:
    """An ensemble.

    Attributes:
        features: Length of the vector.
        base: The mean prediction of the training rows.
        paths: Of all leaves with a feature on their way.
    """

    features: int
    base: float
    paths: tuple[_Path, ...]

    def explain(self, x: Doubles) -> Doubles:
        """The Shapley values of some rows: rows × features.

        Args:
            x: Rows × features.
        """
        found = np.zeros((self.features, len(x)))
        for begin in range(0, len(x), _BLOCK):
            some, part = np.ascontiguousarray(x[begin : begin + _BLOCK].T), found[:, begin : begin + _BLOCK]
            for path in self.paths:
                way = np.zeros(some.shape[1], dtype=np.int64)
                for place, wanted in enumerate(path.parts):
                    way |= wanted.lies(some[wanted.feature]).astype(np.int64) << place
                for wanted, phi in zip(path.parts, path.phi, strict=True):
                    part[wanted.feature] += phi[way]
        return found.T


def read_trees(spark: SparkSession, path: str) -> Trees:
    """The ensemble that a saved model of Spark ML is.

    Its predictions are log odds (`GBTClassifier`), the probability of class 1 (trees and forests that classify), or the
    number itself (what regresses).

    Args:
        spark: The session.
        path: Where the model was saved: one of `ml.classification` or `ml.regression`, with two classes at most.

    Raises:
        DataError: It is no tree ensemble, it has more classes, or a path has more than eight features.
    """
    about = json.loads(str(spark.read.text(f"{path}/metadata").collect()[0][0]))
    kind = about["class"].rpartition(".")[2]
    if kind.removesuffix("Model") not in {
        f"{name}{task}" for name in ("GBT", "RandomForest", "DecisionTree") for task in ("Classification", "Regression")
    }:
        raise DataError(f"{path}: {kind} is no tree ensemble", fix="Explain it by another method, such as a surrogate.")
    nodes = spark.read.parquet(f"{path}/data")
    if "nodeData" not in nodes.columns:
        nodes = nodes.select(F.lit(0).alias("treeID"), F.struct("*").alias("nodeData"))
    if kind.startswith("GBT"):
        of_tree = spark.read.parquet(f"{path}/treesMetadata")  # number, settings, weight
        weights = {row[0]: row[-1] for row in of_tree.collect()}
        factor = 2.0 if kind == "GBTClassificationModel" else 1.0  # its probability is the logistic of twice the sum
    else:
        weights, factor = {}, 1 / about.get("numTrees", 1)
    if about.get("numClasses", 2) > 2:
        raise DataError(f"{path}: {about['numClasses']} classes", fix="Explain a model of two classes.")
    classifies = kind in {"RandomForestClassificationModel", "DecisionTreeClassificationModel"}
    trees = _by_tree(nodes)
    made = [
        _paths(tree, scale=factor * weights.get(number, 1.0), classifies=classifies) for number, tree in trees.items()
    ]
    return Trees(
        features=about["numFeatures"],
        base=math.fsum(base for base, _ in made),
        paths=tuple(path for _, paths in made for path in paths),
    )


def _by_tree(nodes: DataFrame) -> dict[int, dict[int, Any]]:
    found: dict[int, dict[int, Any]] = {}
    for row in nodes.select("treeID", "nodeData.*").orderBy("treeID", "id").collect():
        found.setdefault(row["treeID"], {})[row["id"]] = row
    return found


def _paths(tree: dict[int, Any], *, scale: float, classifies: bool) -> tuple[float, list[_Path]]:
    """The mean prediction of a tree, times its scale, and the ways to its leaves."""

    def rows(node: Any) -> float:
        stats = node["impurityStats"]
        return math.fsum(stats) if classifies else float(stats[0])

    base, found = [], []
    open_nodes: list[tuple[int, float, dict[int, _Part]]] = [(0, 1.0, {})]
    while open_nodes:
        number, share, parts = open_nodes.pop()
        node = tree[number]
        if node["leftChild"] < 0:
            value = node["impurityStats"][1] / rows(node) if classifies else node["prediction"]
            base.append(scale * value * share)
            if parts:
                found.append(_path(tuple(parts.values()), scale * value))
            continue
        for side in ("leftChild", "rightChild"):
            went = rows(tree[node[side]]) / rows(node)
            feature = node["split"]["featureIndex"]
            part = _narrowed(parts.get(feature), node["split"], left=side == "leftChild", went=went)
            open_nodes.append((node[side], share * went, {**parts, feature: part}))
    return math.fsum(base), found


def _narrowed(part: _Part | None, split: Any, *, left: bool, went: float) -> _Part:
    """Where a path wants the feature of a split, after it went one way there."""
    before = part or _Part(split["featureIndex"], 1.0)
    values, categories = split["leftCategoriesOrThreshold"], split["numCategories"]
    if categories < 0:
        low, high = before.low, before.high
        if left:
            high = values[0] if high is None else min(high, values[0])
        else:
            low = values[0] if low is None else max(low, values[0])
        return _Part(before.feature, before.share * went, low, high)
    to_left = np.isin(np.arange(categories), np.array(values, dtype=np.int64))
    # Spark keeps the smaller side of a split, and sends what is not in it to the other.
    unseen_left = len(values) > categories / 2
    among = to_left if left else ~to_left
    unseen = unseen_left == left
    if before.among is not None:
        among, unseen = among & before.among, unseen and before.unseen
    return _Part(before.feature, before.share * went, among=among, unseen=unseen)


def _path(parts: tuple[_Part, ...], value: float) -> _Path:
    size = len(parts)
    if size > _MOST:
        raise DataError(f"a tree has {size} features on one path", fix=f"Explain trees of a depth up to {_MOST}.")
    ways = (np.arange(1 << size)[:, None] >> np.arange(size)) & 1
    share = np.array([part.share for part in parts])
    sizes = np.array([math.factorial(k) * math.factorial(size - 1 - k) / math.factorial(size) for k in range(size)])
    phi = np.empty((size, 1 << size))
    for place in range(size):
        coefficients = np.zeros((1 << size, size))
        coefficients[:, 0] = 1
        for other in range(size):
            if other != place:
                shifted = np.roll(coefficients, 1, axis=1)
                shifted[:, 0] = 0
                coefficients = coefficients * share[other] + shifted * ways[:, other, None]
        phi[place] = value * (ways[:, place] - share[place]) * (coefficients @ sizes)
    return _Path(parts, phi)


def by_source(values: Doubles, sources: Sequence[str]) -> tuple[list[str], Doubles]:
    """Adds up the values of the vector's slots that come from one column, such as the indicators of a category.

    Args:
        values: Rows × slots.
        sources: The column of each slot.

    Returns:
        The columns, in the order in which they first come, and rows × columns.
    """
    names = list(dict.fromkeys(sources))
    member = np.array([[source == name for name in names] for source in sources], dtype=np.float64)
    return names, values @ member
