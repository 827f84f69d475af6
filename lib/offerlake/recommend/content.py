"""Products that nobody has touched yet: their factors and popularity are those of what is like them.

A product is a vector of four parts: the words of its name and description, the levels of its category path and its
brand, each as tf · idf of length 1 (Salton and Buckley 1988), and its price as (cos θ, sin θ), where θ is π/8 for each
standard deviation of log price, cut at two: the product of two prices is then cos(θ − θ'), 1 for the same one and 0 for
the two ends. With the parts' weights w,

    vector = (√w · part, …) / length       similarity s = cosine of two vectors, 0 to 1

and of the k products with factors that are most like it, a product without has (Gantner et al. 2010, "Learning
attribute-to-feature mappings for cold-start recommendations", the mapping by k nearest neighbours)

    v = Σ s·vᵢ / Σ s                       popularity = Σ s·popularityᵢ / k

The popularity, and likewise the appeal, is their weighted mean times their mean similarity: the less they are alike,
the less is expected of it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import scipy.sparse as sp
from pyspark import Broadcast
from pyspark.ml import Pipeline
from pyspark.ml.feature import IDF, HashingTF, VectorAssembler
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from offerlake.categories import levels
from offerlake.config import ContentSettings
from offerlake.recommend.blocks import Floats, Ints, matrix

DDL = "product_id string, features array<float>, popularity double, appeal double"
_WEIGHTS = {"words": 0.5, "levels": 0.3, "brand": 0.1}
"""Of the parts: words tell products of one category apart; what is alike in brand or price only is not alike."""
_PRICE = 0.1
_WORDS = 64  # words of a product that count, the name's first: what bounds the memory
_BUCKETS = 1 << 18  # of a part's hashed words
_UNITS = 1e6  # of a similarity's points in 1: float32 has about seven digits, and sums differ in the last
_BLOCK = 16  # products compared with all others at once


def untouched(
    known: DataFrame,
    product_factors: DataFrame,
    product_index: DataFrame,
    popularity: DataFrame,
    *,
    settings: ContentSettings,
) -> DataFrame | None:
    """What `topn.catalogue` takes as `untouched`: products without factors, with those of what is like them.

    Vectors are collected and broadcast, about 1 kB a product at most (100 MB for 100,000; the driver needs about six
    times that while they are made), and only where there is a product without factors. A task holds 16 × products
    similarities, 50 MB with what is made of them. Ties go to the smaller id.

    Args:
        known: What `known_products` gives.
        product_factors: id, features: `ALSModel.itemFactors`.
        product_index: product_id, idx.
        popularity: What `baselines.popularity` gives.
        settings: Whether, how many neighbours, and the similarity that the nearest has to have at least.

    Returns:
        product_id, features, popularity, appeal; None: not enabled, or nothing to learn from or for.
    """
    if not settings.enabled:
        return None
    rated = (
        product_factors.withColumnRenamed("id", "idx")
        .join(product_index, on="idx", how="inner")
        .join(popularity, on="product_id", how="left")
        .select(
            "product_id",
            "features",
            *[F.coalesce(name, F.lit(0.0)).alias(name) for name in ("popularity", "appeal")],
        )
    )
    if known.join(rated, on="product_id", how="left_anti").isEmpty():
        return None
    rows = _described(known).join(rated, on="product_id", how="left").toArrow().sort_by("product_id")
    shelf = Shelf.of(rows)
    if not len(shelf.factors):
        return None
    spark = known.sparkSession
    blocks = spark.range(-(-shelf.vectors.shape[0] // _BLOCK))
    return blocks.mapInArrow(_mapper(spark.sparkContext.broadcast(shelf), settings), DDL)


def _described(known: DataFrame) -> DataFrame:
    """product_id, price, vector (tf · idf of three parts, one after the other); a part that is not known is 0."""
    text = F.lower(F.concat_ws(" ", "name", "description"))
    nothing = F.array().cast("array<string>")
    told = known.select(
        "product_id",
        F.col("price").cast("double").alias("price"),
        F.slice(F.array_remove(F.split(text, r"[^\p{L}\p{N}]+"), ""), 1, _WORDS).alias("words"),
        F.coalesce(levels(F.col("category")), nothing).alias("levels"),
        F.array_compact(F.array("brand")).alias("brand"),
    )
    counts = [HashingTF(inputCol=part, outputCol=f"{part}_tf", numFeatures=_BUCKETS) for part in _WEIGHTS]
    side_by_side = VectorAssembler(inputCols=[f"{part}_tf" for part in _WEIGHTS], outputCol="tf")
    weighed = Pipeline(stages=[*counts, side_by_side, IDF(inputCol="tf", outputCol="vector")])
    return weighed.fit(told).transform(told).select("product_id", "price", "vector")


def vectors(rows: pa.Table) -> sp.csr_array:
    """The vectors of products, each of length 1, or 0 where nothing is known: a row a product, a column a word.

    Args:
        rows: price, and vector as Spark ML stores it.
    """
    told = rows["vector"].combine_chunks()
    value = told.field("values").flatten().to_numpy()
    ends = told.field("indices").offsets.to_numpy()
    column = told.field("indices").flatten().to_numpy()
    row = np.repeat(np.arange(len(rows)), np.diff(ends))
    part = row * len(_WEIGHTS) + column // _BUCKETS
    squares = np.bincount(part, weights=value**2, minlength=len(rows) * len(_WEIGHTS))
    weight = np.array(list(_WEIGHTS.values()))[column // _BUCKETS]
    value = value * np.sqrt(np.divide(weight, squares[part], out=np.zeros(len(value)), where=squares[part] > 0))
    there, column = np.unique(column, return_inverse=True)
    words = sp.csr_array((value, (row, column)), shape=(len(rows), len(there)))
    whole = sp.hstack([words, sp.csr_array(np.sqrt(_PRICE) * _angle(rows["price"].to_numpy()))], format="csr")
    whole.eliminate_zeros()
    length = np.sqrt(whole.multiply(whole).sum(axis=1))
    whole.data = whole.data / np.repeat(length, np.diff(whole.indptr))
    return whole.astype(np.float32)


def _angle(price: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """(cos θ, sin θ) of each price; (0, 0) where there is none."""
    priced = price > 0  # NaN is not
    log = np.log(price[priced])
    spread = log.std() if len(log) else 0.0
    theta = np.clip((log - log.mean()) / spread, -2, 2) * np.pi / 8 if spread else np.zeros(len(log))
    found = np.zeros((len(price), 2))
    found[priced] = np.column_stack([np.cos(theta), np.sin(theta)])
    return found


@dataclass(frozen=True)
class Shelf:
    """Products with factors, and those without.

    Attributes:
        factors: Products with × rank.
        popularity: Popularity and appeal of those, 0 to 1; products with × 2.
        like: Products with × words: their vectors.
        vectors: Descriptions of products without × words: of products that are described alike there is one.
        ids: product_id of those without.
        row: The row of `vectors` of each, ascending.
    """

    factors: Floats
    popularity: npt.NDArray[np.float64]
    like: sp.csr_array
    vectors: sp.csr_array
    ids: pa.StringArray
    row: Ints

    @classmethod
    def of(cls, rows: pa.Table) -> Shelf:
        """Of products by id: product_id, price, vector; features, popularity and appeal null where there are none."""
        has = rows["features"].is_valid().to_numpy()
        whole = vectors(rows)
        rated = rows.filter(pa.array(has))
        new = whole[~has]
        told = [new.indices[a:b].tobytes() + new.data[a:b].tobytes() for a, b in pairwise(new.indptr.tolist())]
        row = pa.array(told, pa.binary()).dictionary_encode().indices.to_numpy().astype(np.int64)
        _, first = np.unique(row, return_index=True)
        order = np.argsort(row, kind="stable")
        return cls(
            factors=matrix(rated["features"], len(rated)),
            popularity=np.column_stack([rated[name].to_numpy() for name in ("popularity", "appeal")]),
            like=whole[has],
            vectors=new[first],
            ids=rows["product_id"].combine_chunks().filter(pa.array(~has)).take(pa.array(order)),
            row=row[order],
        )

    def block(self, number: int, settings: ContentSettings) -> pa.RecordBatch:
        """The factors, popularity and appeal of some products without, of those that are like enough to any with."""
        begin, end = number * _BLOCK, (number + 1) * _BLOCK
        first, last = np.searchsorted(self.row, [begin, end])
        alike = self.like @ self.vectors[begin:end].toarray().T.copy()
        which, near = _nearest(alike.T.copy(), settings.neighbours)
        row = self.row[first:last] - begin
        fits = near[row, 0] >= settings.least
        which, near = which[row[fits]], near[row[fits]]
        popularity, appeal = (near[..., None] * self.popularity[which]).mean(axis=1).T
        share = near / near.sum(axis=1, keepdims=True)
        factors = np.einsum("nk,nkr->nr", share, self.factors[which]).astype(np.float32)
        ends = pa.array(np.arange(len(factors) + 1) * self.factors.shape[1], pa.int32())
        columns = [
            self.ids[first:last].filter(pa.array(fits)),
            pa.ListArray.from_arrays(ends, pa.array(factors.ravel())),
            pa.array(popularity),
            pa.array(appeal),
        ]
        return pa.RecordBatch.from_arrays(columns, names=["product_id", "features", "popularity", "appeal"])


def _nearest(alike: Floats, k: int) -> tuple[Ints, npt.NDArray[np.float64]]:
    """Columns of the k largest numbers of each row, the largest first, of equal ones the first; and the numbers."""
    rows, size = alike.shape
    k = min(k, size)
    least = np.partition(alike, size - k, axis=1)[:, size - k]
    row, place = np.nonzero(alike >= least[:, None] - 2 / _UNITS)  # all that may be equal to it when rounded
    points = np.rint(alike[row, place] * _UNITS)
    order = np.lexsort((place, -points, row))
    best = order[np.searchsorted(row, np.arange(rows))[:, None] + np.arange(k)]
    return place[best], points[best].astype(np.float64) / _UNITS


def _mapper(
    shared: Broadcast[Shelf], settings: ContentSettings
) -> Callable[[Iterable[pa.RecordBatch]], Iterator[pa.RecordBatch]]:
    def mapped(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for batch in batches:
            for number in batch["id"].to_pylist():
                yield shared.value.block(number, settings)

    return mapped
