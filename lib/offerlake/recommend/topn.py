"""The best N products of every user: blocks of users times all product factors, in Arrow batches with NumPy.

score = own_weight · log(1 + weight)   where the user has bought the product, else 0
      + popularity · uᵀv               where the user has factors, else popularity alone

Multiplying by popularity (of late, 0 to 1) is what makes plain ALS beat popularity on products new to a household.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from pyspark import Broadcast
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from offerlake.config import RecommendSettings

Floats = npt.NDArray[np.float32]
Ints = npt.NDArray[np.int64]

_COLD_BLOCKS = 1024  # blocks of users without a number
_DIGITS = 5  # decimals of a score: float32 has about seven digits, and sums differ in the last
_FIRST = np.float32(64)  # lifts bought products above all others; scores are far below
_ITEMS = pa.list_(pa.struct([("product_id", pa.string()), ("score", pa.float64()), ("source", pa.string())]))
_OUT = pa.schema([("user_id", pa.string()), ("items", _ITEMS)])
_DDL = "user_id string, items array<struct<product_id:string,score:double,source:string>>"


@dataclass(frozen=True)
class Rule:
    """How candidates are chosen.

    Attributes:
        n: Products a user.
        mode: replenish: bought products come first; discover: they never come; both: they compete.
        own_weight: Of log(1 + weight) of a bought product, ≥ 0.
        block_users: Users scored at once.
    """

    n: int
    mode: Literal["replenish", "discover", "both"]
    own_weight: float
    block_users: int

    @classmethod
    def of(cls, settings: RecommendSettings, *, own_weight: float) -> Rule:
        """The rule of the settings, with one of its weights."""
        return cls(settings.n, settings.mode, own_weight, settings.block_users)


@dataclass(frozen=True)
class Catalogue:
    """The products that can be recommended, in the order of their ids; what every task gets a copy of.

    Attributes:
        ids: product_id, one a product, ascending.
        factors: Products × rank, already multiplied by popularity.
        popularity: Products, 0 to 1.
        place: Number of a product (idx) to its place in `ids`, −1: not among them.
    """

    ids: npt.NDArray[np.object_]
    factors: Floats
    popularity: Floats
    place: Ints


def catalogue(product_factors: DataFrame, product_index: DataFrame, popularity: DataFrame) -> Catalogue:
    """Collects the product factors, (rank + 4) × 4 bytes a product: 14 MB for 100,000 products at rank 32.

    Args:
        product_factors: id, features: `ALSModel.itemFactors`.
        product_index: product_id, idx.
        popularity: product_id, popularity.
    """
    rows = (
        product_factors.withColumnRenamed("id", "idx")
        .join(product_index, on="idx", how="inner")
        .join(popularity, on="product_id", how="left")
        .select("product_id", "idx", "features", F.coalesce("popularity", F.lit(0.0)).alias("popularity"))
        .orderBy("product_id")
        .toArrow()
    )
    ids = rows["product_id"].to_numpy()
    idx = rows["idx"].to_numpy()
    popular = rows["popularity"].to_numpy().astype(np.float32)
    factors = _matrix(rows["features"], len(ids)) * popular[:, None]
    place = np.full(int(idx.max()) + 1 if len(idx) else 1, -1, dtype=np.int64)
    place[idx] = np.arange(len(idx))
    return Catalogue(ids=ids, factors=factors, popularity=popular, place=place)


def recommend(
    users: DataFrame,
    interactions: DataFrame,
    *,
    user_factors: DataFrame,
    user_index: DataFrame,
    product_index: DataFrame,
    products: Catalogue,
    rule: Rule,
) -> DataFrame:
    """The table `candidates` without its `as_of`: a row for every user of `users`, best product first.

    `source` says why a product is there: `own` (bought before), `als` (users alike did), `popular` (nothing is known
    of the user that says more). Ties go to the smaller id. A task holds block_users × products × 12 bytes.

    Args:
        users: user_id, one row a user.
        interactions: The table `interactions` as of the day.
        user_factors: id, features: `ALSModel.userFactors`.
        user_index: user_id, idx.
        product_index: product_id, idx.
        products: What `catalogue` gives.
        rule: What is shown.

    Returns:
        user_id, items (array of product_id, score, source).
    """
    own = (
        interactions.where(F.col("purchases") > 0)
        .join(product_index, on="product_id", how="inner")
        .groupBy("user_id")
        .agg(F.collect_list("idx").alias("bought"), F.collect_list("weight").alias("weights"))
    )
    number = F.coalesce(
        F.floor(F.col("idx") / rule.block_users), -1 - F.pmod(F.xxhash64("user_id"), F.lit(_COLD_BLOCKS))
    )
    known = (
        users.select("user_id")
        .join(user_index, on="user_id", how="left")
        .join(user_factors.select(F.col("id").alias("idx"), "features"), on="idx", how="left")
        .join(own, on="user_id", how="left")
        .select("user_id", number.alias("block"), "features", "bought", "weights")
        .repartition("block")
        .sortWithinPartitions("block", "user_id")
    )
    shared = users.sparkSession.sparkContext.broadcast(products)
    return known.mapInArrow(_scorer(shared, rule), _DDL)


def _scorer(shared: Broadcast[Catalogue], rule: Rule) -> Callable[[Iterable[pa.RecordBatch]], Iterator[pa.RecordBatch]]:
    def score(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for block in _blocks(batches):
            for start in range(0, block.num_rows, rule.block_users):
                yield best_of_block(block.slice(start, rule.block_users), shared.value, rule)

    return score


def _blocks(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.Table]:
    """Whole blocks, whatever the batches: a user's numbers then never depend on the partitioning."""
    held: list[pa.RecordBatch] = []
    for batch in batches:
        number = batch["block"].to_numpy(zero_copy_only=False)
        ends = [*(np.flatnonzero(np.diff(number)) + 1).tolist(), batch.num_rows]
        start = 0
        for end in ends:
            if held and held[0]["block"][0].as_py() != number[start]:
                yield pa.Table.from_batches(held)
                held = []
            held.append(batch.slice(start, end - start))
            start = end
    if held:
        yield pa.Table.from_batches(held)


def best_of_block(block: pa.Table, products: Catalogue, rule: Rule) -> pa.RecordBatch:
    """Scores one block of users.

    Args:
        block: user_id, features (or null), bought (numbers of products, or null), weights (likewise).
        products: The catalogue.
        rule: What is shown.
    """
    users, size = block.num_rows, len(products.ids)
    known = block["features"].is_valid().to_numpy(zero_copy_only=False)
    scores = np.tile(products.popularity, (users, 1))
    if known.any():
        scores[known] = _matrix(block["features"].drop_null(), int(known.sum())) @ products.factors.T
    row, column, weight = _bought(block, products.place)
    scores[row, column] += np.float32(rule.own_weight) * np.log1p(weight)
    if rule.mode == "discover":
        scores[row, column] = -np.inf
    elif rule.mode == "replenish":
        scores[row, column] += _FIRST
    chosen, value = _best(scores, rule.n)
    counts = np.array([len(places) for places in chosen])
    who = np.repeat(np.arange(users), counts)
    which = np.concatenate([*chosen, np.empty(0, dtype=np.int64)]).astype(np.int64)
    points = np.concatenate([*value, np.empty(0)])
    own = np.isin(who * size + which, row * size + column)
    if rule.mode == "replenish":
        points = points - own * float(_FIRST)
    source = np.where(own, "own", np.where(known[who], "als", "popular"))
    items = pa.StructArray.from_arrays(
        [
            pa.array(products.ids[which], pa.string()),
            pa.array(np.round(points, _DIGITS), pa.float64()),
            pa.array(source.astype(object), pa.string()),
        ],
        fields=list(_ITEMS.value_type),
    )
    offsets = pa.array(np.concatenate([[0], np.cumsum(counts)]), pa.int32())
    names = block["user_id"].combine_chunks()
    return pa.RecordBatch.from_arrays([names, pa.ListArray.from_arrays(offsets, items, type=_ITEMS)], schema=_OUT)


def _best(scores: Floats, n: int) -> tuple[list[Ints], list[npt.NDArray[np.float64]]]:
    """Each row's n largest finite scores, largest first, ties to the smaller place: places and scores."""
    k = min(n, scores.shape[1])
    if k == 0:
        return [np.empty(0, dtype=np.int64)] * len(scores), [np.empty(0)] * len(scores)
    least = np.partition(scores, -k, axis=1)[:, -k]
    places, values = [], []
    for row, limit in zip(scores, least, strict=True):
        at = np.flatnonzero((row >= limit) & (row > -np.inf))
        value = np.round(row[at].astype(np.float64), _DIGITS)
        order = np.argsort(-value, kind="stable")[:k]
        places.append(at[order])
        values.append(value[order])
    return places, values


def _bought(block: pa.Table, place: Ints) -> tuple[Ints, Ints, Floats]:
    """Row in the block, place in the catalogue and weight of what was bought."""
    lists = block["bought"].combine_chunks()
    row = np.repeat(np.arange(block.num_rows), np.nan_to_num(_lengths(lists)).astype(np.int64))
    number = lists.flatten().to_numpy(zero_copy_only=False).astype(np.int64)
    weight = block["weights"].combine_chunks().flatten().to_numpy(zero_copy_only=False).astype(np.float32)
    column = np.where(number < len(place), place[np.minimum(number, len(place) - 1)], -1)
    there = column >= 0
    return row[there], column[there], weight[there]


def _lengths(lists: pa.ListArray) -> npt.NDArray[np.float64]:
    lengths: npt.NDArray[np.float64] = lists.value_lengths().to_numpy(zero_copy_only=False).astype(np.float64)
    return lengths


def _matrix(lists: pa.ChunkedArray, rows: int) -> Floats:
    """A column of equally long lists as a matrix."""
    flat = lists.combine_chunks().flatten().to_numpy(zero_copy_only=False)
    matrix: Floats = flat.astype(np.float32).reshape(rows, -1) if rows else np.empty((0, 0), dtype=np.float32)
    return matrix
