"""The best N products of every user: blocks of users times all product factors, in Arrow batches, see `blocks`."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from offerlake.categories import levels, top_category
from offerlake.recommend.blocks import (
    DDL,
    Catalogue,
    Floats,
    Pool,
    Rule,
    SecondStage,
    best_of_block,
    matrix,
    pool_of_block,
)


def showable(products: DataFrame, *, blocked: Collection[str]) -> DataFrame:
    """Leaves out what may not be shown: known to be out of stock, or of a category, at any level, that is blocked.

    Args:
        products: product_id, category, price, stock: one row a product, as known on the day.
        blocked: Category paths.

    Returns:
        product_id, category (the top one), price (double?).
    """
    in_stock = F.coalesce(F.col("stock") > 0, F.lit(True))
    barred = F.arrays_overlap(levels(F.col("category")), F.lit([*blocked])) if blocked else F.lit(False)
    return products.where(in_stock & ~barred).select(
        "product_id", top_category(F.col("category")).alias("category"), F.col("price").cast("double").alias("price")
    )


def catalogue(
    product_factors: DataFrame,
    product_index: DataFrame,
    popularity: DataFrame,
    shown: DataFrame,
    *,
    scopes: DataFrame | None = None,
    untouched: DataFrame | None = None,
) -> Catalogue:
    """Collects the product factors, (rank + 7) × 4 bytes a product: 16 MB for 100,000 products at rank 32.

    Args:
        product_factors: id, features: `ALSModel.itemFactors`.
        product_index: product_id, idx.
        popularity: product_id, popularity.
        shown: What `showable` gives: others are not recommended.
        scopes: offer_id, product_id: what offers are limited to; collected too.
        untouched: What `content.untouched` gives: they come to those with factors of their own.
    """
    rated = (
        product_factors.withColumnRenamed("id", "idx")
        .join(product_index, on="idx", how="inner")
        .join(popularity, on="product_id", how="left")
        .select("product_id", "idx", "features", "popularity", F.lit(False).alias("content"))
    )
    if untouched is not None:
        rated = rated.unionByName(
            untouched.join(product_index, on="product_id", how="inner").withColumn("content", F.lit(True))
        )
    rows = (
        rated.join(shown, on="product_id", how="inner")
        .withColumn("popularity", F.coalesce("popularity", F.lit(0.0)))
        .toArrow()
        .sort_by("product_id")
    )
    ids = rows["product_id"].combine_chunks()
    idx = rows["idx"].to_numpy()
    popular = rows["popularity"].to_numpy().astype(np.float32)
    factors = matrix(rows["features"], len(ids)) * popular[:, None]
    place = np.full(int(idx.max()) + 1 if len(idx) else 1, -1, dtype=np.int64)
    place[idx] = np.arange(len(idx))
    categories = rows["category"].combine_chunks().dictionary_encode().indices
    return Catalogue(
        ids=ids,
        factors=factors,
        popularity=popular,
        place=place,
        category=categories.to_numpy(zero_copy_only=False).astype(np.int64),
        price=rows["price"].to_numpy().astype(np.float32),
        content=rows["content"].to_numpy(),
        scopes={} if scopes is None else _places(scopes.toArrow(), ids),
    )


def _places(scopes: pa.Table, ids: pa.StringArray) -> dict[str, npt.NDArray[np.int64]]:
    """Offer to the places of its products, ascending; of offers none of whose products is there, no places."""
    at = pc.index_in(scopes["product_id"], ids).fill_null(-1).to_numpy()
    offers = scopes["offer_id"].combine_chunks().dictionary_encode()
    number = offers.indices.to_numpy()
    return {
        offer: np.unique(at[(number == n) & (at >= 0)]).astype(np.int64)
        for n, offer in enumerate(offers.dictionary.to_pylist())
    }


def recommend(
    users: DataFrame,
    interactions: DataFrame,
    *,
    user_factors: DataFrame,
    user_index: DataFrame,
    product_index: DataFrame,
    products: Catalogue,
    rules: Sequence[Rule],
    second: SecondStage | None = None,
) -> DataFrame:
    """The table `candidates` without its `as_of`, by each of some rules: a row for every user, best product first.

    `source` says why a product is there: `own` (bought before), `als` (users alike did), `content` (nobody has touched
    it, and it is like what does suit), `popular` (nothing is known of the user that says more). Ties go to the smaller
    id. A task holds block_users × 2,048 scores.

    Args:
        users: user_id, one row a user.
        interactions: The table `interactions` as of the day.
        user_factors: id, features: `ALSModel.userFactors`.
        user_index: user_id, idx.
        product_index: product_id, idx.
        products: What `catalogue` gives.
        rules: What is shown; all have the `block_users` of the first.
        second: What orders the best again, such as `rerank.Ranker`; None: nothing.

    Returns:
        rule (place in `rules`), user_id, items (array of product_id, score, source), scoped (offer_id to the best
        product_ids of its scope).
    """
    placed = _placed(
        users,
        interactions,
        user_factors=user_factors,
        user_index=user_index,
        product_index=product_index,
        block_users=rules[0].block_users,
        whole=second is not None,
    )
    shared = users.sparkSession.sparkContext.broadcast((products, second))

    def score(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for block in _blocks(batches):
            for number, rule in enumerate(rules):
                best = best_of_block(block, shared.value[0], rule, shared.value[1])
                yield best.add_column(0, "rule", pa.array(np.full(best.num_rows, number), pa.int32()))

    return placed.mapInArrow(score, DDL)


def pools(
    users: DataFrame,
    interactions: DataFrame,
    *,
    user_factors: DataFrame,
    user_index: DataFrame,
    product_index: DataFrame,
    products: Catalogue,
    rule: Rule,
    size: int,
    described: Callable[[Pool], Floats],
) -> DataFrame:
    """The best `size` products of every user, with what a second stage sees of them; arguments as of `recommend`.

    Returns:
        user_id, product_ids (array, best first), features (array: those of the first product, of the second, …).
    """
    placed = _placed(
        users,
        interactions,
        user_factors=user_factors,
        user_index=user_index,
        product_index=product_index,
        block_users=rule.block_users,
        whole=True,
    )
    shared = users.sparkSession.sparkContext.broadcast((products, described))

    def describe(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for block in _blocks(batches):
            pool = pool_of_block(block, shared.value[0], rule, size)
            told = shared.value[1](pool)
            ends = np.concatenate([[0], np.cumsum(np.bincount(pool.who, minlength=len(pool.users)))])
            ids = pool.products.ids.take(pa.array(pool.which))
            columns = [
                pool.users,
                pa.ListArray.from_arrays(pa.array(ends, pa.int32()), ids),
                pa.ListArray.from_arrays(pa.array(ends * told.shape[1], pa.int32()), pa.array(told.ravel())),
            ]
            yield pa.RecordBatch.from_arrays(columns, names=["user_id", "product_ids", "features"])

    return placed.mapInArrow(describe, "user_id string, product_ids array<string>, features array<float>")


def _placed(
    users: DataFrame,
    interactions: DataFrame,
    *,
    user_factors: DataFrame,
    user_index: DataFrame,
    product_index: DataFrame,
    block_users: int,
    whole: bool,
) -> DataFrame:
    """What `blocks.best_of_block` takes, block by block; `whole`: with all that `blocks.Pool` says."""
    factors = user_factors.withColumnRenamed("id", "idx").join(user_index, on="idx", how="inner")
    numbered = interactions.join(
        F.broadcast(product_index.withColumnRenamed("idx", "product")), on="product_id", how="inner"
    )
    seconds = F.unix_timestamp(F.col("as_of").cast("timestamp")) - F.unix_timestamp("last_time")
    more = [F.col("purchases"), (seconds / 86400).cast("float").alias("days")] if whole else []
    pairs = (numbered if whole else numbered.where(F.col("purchases") > 0)).select(
        "user_id", "product", F.col("weight").cast("float").alias("weight"), *more
    )
    together = (
        users.select("user_id", F.lit(True).alias("wanted"))
        .unionByName(factors.select("user_id", "features"), allowMissingColumns=True)
        .unionByName(pairs, allowMissingColumns=True)
    )
    blocks = -(-users.count() // block_users)
    tasks = int(users.sparkSession.conf.get("spark.sql.shuffle.partitions") or 1)
    return (
        together.withColumn("block", F.pmod(F.xxhash64("user_id"), F.lit(max(blocks, 1))).cast("int"))
        .repartitionById(tasks, "block")
        .sortWithinPartitions("block")
    )


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
