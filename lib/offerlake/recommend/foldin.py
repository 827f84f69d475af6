"""Users' factors for products' factors that stay: what counts the events since the last fit, without a new one.

It is the last half sweep of ALS alone (Hu, Koren and Volinsky 2008, equation 4), with Spark ML's penalty:

    u = (VᵀV + α·Σ w·v·vᵀ + λ·n·I)⁻¹ Σ (1 + α·w)·v        over the user's n products with factors v and weights w

A sweep ends with the users, so on the events of the fit it gives the factors that the fit gave.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from offerlake.config import RecommendSettings
from offerlake.recommend.blocks import Ints, matrix

Doubles = npt.NDArray[np.float64]
_SOLVED = 256  # users whose equations are solved at once: with rank 64 eight megabytes


def fold_in(
    interactions: DataFrame, product_factors: DataFrame, product_index: DataFrame, *, settings: RecommendSettings
) -> DataFrame:
    """Factors of every user of the interactions, new ones too.

    Product factors are collected and broadcast. Products without factors have no part in it, nor have weights that are
    not finite and above 0; who has nothing else has no factors.

    Args:
        interactions: user_id, product_id, weight: the table `interactions` as of the day.
        product_factors: id, features: `ALSModel.itemFactors`.
        product_index: product_id, idx.
        settings: alpha α and regularisation λ of the fit.

    Returns:
        user_id, features (array of float).
    """
    rows = product_factors.toArrow().sort_by("id")
    solver = _Solver.of(rows["id"].to_numpy(), matrix(rows["features"], len(rows)).astype(np.float64), settings)
    numbered = interactions.join(F.broadcast(product_index), on="product_id", how="inner")
    usable = numbered.where((F.col("weight") > 0) & (F.col("weight") < F.lit(float("inf"))))
    by_user = (
        usable.select("user_id", "idx", F.col("weight").cast("float").alias("weight"))
        .repartition("user_id")
        .sortWithinPartitions("user_id", "idx")
    )
    shared = interactions.sparkSession.sparkContext.broadcast(solver)

    def solve(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for users in _whole_users(batches):
            yield shared.value.solve(users)

    return by_user.mapInArrow(solve, "user_id string, features array<float>")


@dataclass(frozen=True)
class _Solver:
    """The equations of users.

    Attributes:
        factors: Products × rank.
        place: Number of a product to its row of `factors`, −1: it has none.
        gram: VᵀV.
        alpha: α.
        penalty: λ.
    """

    factors: Doubles
    place: Ints
    gram: Doubles
    alpha: float
    penalty: float

    @classmethod
    def of(cls, numbers: Ints, factors: Doubles, settings: RecommendSettings) -> _Solver:
        place = np.full(int(numbers.max(initial=0)) + 1, -1, dtype=np.int64)
        place[numbers] = np.arange(len(numbers))
        return cls(factors, place, factors.T @ factors, settings.alpha, settings.regularisation)

    def solve(self, rows: pa.Table) -> pa.RecordBatch:
        """The factors of some users: user_id, idx, weight, sorted by user."""
        number = rows["idx"].to_numpy()
        place = np.where(number < len(self.place), self.place[number % len(self.place)], -1)
        there = place >= 0
        place, weight = place[there], self.alpha * rows["weight"].to_numpy()[there].astype(np.float64)
        user = rows["user_id"].combine_chunks().filter(pa.array(there)).dictionary_encode()
        ends = np.cumsum(np.bincount(user.indices.to_numpy(), minlength=len(user.dictionary)))
        rank = self.factors.shape[1]
        found = np.empty((len(ends), rank), dtype=np.float32)
        for begin in range(0, len(ends), _SOLVED):
            some = range(begin, min(begin + _SOLVED, len(ends)))
            left, right = np.empty((len(some), rank, rank)), np.empty((len(some), rank, 1))
            for at, one in enumerate(some):
                first, last = ends[one - 1] if one else 0, ends[one]
                liked, how = self.factors[place[first:last]], weight[first:last]
                left[at] = self.gram + (liked.T * how) @ liked
                left[at].flat[:: rank + 1] += self.penalty * (last - first)
                right[at, :, 0] = (1 + how) @ liked
            found[begin : begin + len(some)] = np.linalg.solve(left, right)[..., 0]
        lists = pa.ListArray.from_arrays(pa.array(np.arange(len(ends) + 1) * rank, pa.int32()), pa.array(found.ravel()))
        return pa.RecordBatch.from_arrays([user.dictionary, lists], names=["user_id", "features"])


def _whole_users(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.Table]:
    """The rows of sorted batches, those of a user always together."""
    held: list[pa.RecordBatch] = []
    for batch in batches:
        ids = batch["user_id"]
        if not len(ids):
            continue
        if ends := len(ids) - pc.equal(ids, ids[-1]).true_count:
            yield pa.Table.from_batches([*held, batch.slice(0, ends)])
            held = []
        held.append(batch.slice(ends))
    if held:
        yield pa.Table.from_batches(held)
