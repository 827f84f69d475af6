"""Segments of users by Spark ML: which method, how many, and where their centres are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from pyspark import StorageLevel
from pyspark.ml.clustering import BisectingKMeans, KMeans
from pyspark.ml.evaluation import ClusteringEvaluator
from pyspark.ml.functions import array_to_vector
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from offerlake.config import SegmentSettings
from offerlake.randomness import uniform
from offerlake.value.likelihood import Numbers
from offerlake.value.traits import TRAITS, nearest

Method = Literal["kmeans", "bisecting"]
Choice = tuple[Method, int]
"""Method and number of segments."""
_ORDERS = [trait.name for trait in TRAITS].index("orders")


@dataclass(frozen=True)
class Segmentation:
    """What was found.

    Attributes:
        choice: Method and number of segments.
        centres: In standard deviations (k, traits), the user who orders most often first.
        silhouettes: Of every method and number tried, on the sample, −1 to 1: how much nearer users are to their own
            segment than to the next (squared Euclidean).
        stability: Adjusted Rand index of the segments and those found from half of the sample: 1 the same, 0 chance;
            None: that half has too few users.
    """

    choice: Choice
    centres: Numbers
    silhouettes: Mapping[Choice, float]
    stability: float | None


def segment(users: DataFrame, *, settings: SegmentSettings, seed: int, former: Choice | None) -> Segmentation | None:
    """Chooses method and number of segments on a sample, then finds their centres among all users.

    The former choice stays unless another one's silhouette is higher by more than `keep_margin`: people who work with
    segments need better reasons than noise to learn new ones.

    Args:
        users: user_id and z, as `traits.scaled` gives them.
        settings: The section `segments`.
        seed: `run.seed`.
        former: What the run before had chosen; None: nothing.

    Returns:
        What was found; None where no more users differ in their traits than `k_min`.
    """
    rows = _ordered(users)
    try:
        number = rows.count()
        share = min(1.0, settings.sample / max(number, 1))
        drawn = rows.where(uniform(seed, "segments", F.col("user_id")) < F.lit(share)) if share < 1 else rows
        sample = drawn.persist(StorageLevel.MEMORY_AND_DISK)
        tried = _tried(sample, settings, seed)
        if not tried:
            return None
        choice = _chosen({found: silhouette for found, (silhouette, _) in tried.items()}, former, settings.keep_margin)
        centres = tried[choice][1] if share == 1 else _centres(rows, choice, seed)
        half = sample.where(uniform(seed, "segments:half", F.col("user_id")) < F.lit(0.5))
        enough = half.limit(choice[1]).count() == choice[1]
        stability = _agreement(sample, centres, _centres(half, choice, seed)) if enough else None
        sample.unpersist()
    finally:
        rows.unpersist()
    rounded = np.round(centres, 6)
    return Segmentation(
        choice=choice,
        centres=centres[np.lexsort((*rounded.T, -rounded[:, _ORDERS]))],  # the last key counts first
        silhouettes={found: silhouette for found, (silhouette, _) in tried.items()},
        stability=stability,
    )


def _ordered(users: DataFrame) -> DataFrame:
    """Partitions and their order depend on the keys only, so that centres are the same in every run."""
    parts = users.sparkSession.sparkContext.defaultParallelism
    vectors = users.select("user_id", "z", array_to_vector(F.col("z")).alias("features"))
    ordered = vectors.repartition(parts, "user_id").sortWithinPartitions("user_id")
    return ordered.persist(StorageLevel.MEMORY_AND_DISK)


def _tried(sample: DataFrame, settings: SegmentSettings, seed: int) -> dict[Choice, tuple[float, Numbers]]:
    different = sample.select("z").distinct().limit(settings.k_max + 1).count()
    judge = ClusteringEvaluator(predictionCol="segment")
    found: dict[Choice, tuple[float, Numbers]] = {}
    for method in settings.methods:
        for k in range(settings.k_min, min(settings.k_max, different - 1) + 1):
            centres = _centres(sample, (method, k), seed)
            placed = sample.withColumn("segment", nearest(F.col("z"), _numbered(centres)))
            found[method, k] = (float(judge.evaluate(placed)), centres)
    return found


def _centres(rows: DataFrame, choice: Choice, seed: int) -> Numbers:
    """Centres (k, traits) among rows of `features`."""
    method, k = choice
    kind = KMeans if method == "kmeans" else BisectingKMeans
    return np.array(kind(k=k, seed=seed).fit(rows).clusterCenters(), dtype=np.float64)


def _chosen(silhouettes: Mapping[Choice, float], former: Choice | None, margin: float) -> Choice:
    """The highest silhouette, fewer segments first; the former choice where nothing beats it by more than `margin`."""
    best = max(silhouettes, key=lambda choice: (silhouettes[choice], -choice[1]))
    if former is not None and former in silhouettes and silhouettes[best] <= silhouettes[former] + margin:
        return former
    return best


def _agreement(rows: DataFrame, one: Numbers, other: Numbers) -> float:
    """Adjusted Rand index of the segments by two sets of centres; only counts come to the driver."""
    both = rows.select(*[nearest(F.col("z"), _numbered(c)).alias(n) for n, c in (("one", one), ("other", other))])
    table = np.zeros((len(one), len(other)))
    for row in both.groupBy("one", "other").count().collect():
        table[row["one"], row["other"]] = row["count"]
    return adjusted_rand(table)


def adjusted_rand(table: Numbers) -> float:
    """Adjusted Rand index (Hubert and Arabie 1985) of two partitions, from the table of their counts (one, other)."""

    def pairs(counts: Numbers) -> float:
        return float((counts * (counts - 1) / 2).sum())

    together, rows, columns = pairs(table), pairs(table.sum(axis=1)), pairs(table.sum(axis=0))
    expected = rows * columns / max(pairs(table.sum(keepdims=True)), 1.0)
    most = (rows + columns) / 2
    return 1.0 if most == expected else (together - expected) / (most - expected)


def _numbered(centres: Numbers) -> dict[int, Sequence[float]]:
    return {number: [float(x) for x in centre] for number, centre in enumerate(centres)}
