"""The best N products of every user: blocks of users times all product factors, in Arrow batches, see `blocks`."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from offerlake.categories import levels, top_category
from offerlake.config import ApproximateSettings
from offerlake.errors import DataError
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
from offerlake.recommend.nearest import Nearest

_MOST_GROUPS = 100
_PRIOR = 1000  # pairs of user and product of everybody's that a group's popularity starts with


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
    in_groups: DataFrame | None = None,
    approximate: ApproximateSettings | None = None,
    seed: int = 0,
) -> Catalogue:
    """Collects the product factors, (rank + 7 + groups) × 4 bytes a product: 16 MB for 100,000 products at rank 32.

    A group's popularity is drawn towards everybody's. With n users of all who had to do with a product, N = Σ n over
    products, and n', N' those of the group, the share (n' + 1,000·n/N) / (N' + 1,000) takes the place of n/N.

    Args:
        product_factors: id, features: `ALSModel.itemFactors`.
        product_index: product_id, idx.
        popularity: What `baselines.popularity` gives.
        shown: What `showable` gives: others are not recommended.
        scopes: offer_id, product_id: what offers are limited to; collected too.
        untouched: What `content.untouched` gives: they come to those with factors of their own.
        in_groups: What `baselines.popularity_in_groups` gives; collected too.
        approximate: Where enabled, an index of the products is made.
        seed: Of the index.
    """
    rated = (
        product_factors.withColumnRenamed("id", "idx")
        .join(product_index, on="idx", how="inner")
        .join(popularity, on="product_id", how="left")
        .select("product_id", "idx", "features", "users", "popularity", "appeal", F.lit(False).alias("content"))
    )
    if untouched is not None:
        rated = rated.unionByName(
            untouched.join(product_index, on="product_id", how="inner").withColumn("content", F.lit(True)),
            allowMissingColumns=True,
        )
    rows = (
        rated.join(shown, on="product_id", how="inner")
        .fillna(0.0, ["popularity", "appeal"])
        .toArrow()
        .sort_by("product_id")
    )
    ids = rows["product_id"].combine_chunks()
    idx = rows["idx"].to_numpy()
    popular = rows["popularity"].to_numpy().astype(np.float32)
    factors = matrix(rows["features"], len(ids)) * rows["appeal"].to_numpy().astype(np.float32)[:, None]
    place = np.full(int(idx.max()) + 1 if len(idx) else 1, -1, dtype=np.int64)
    place[idx] = np.arange(len(idx))
    categories = rows["category"].combine_chunks().dictionary_encode().indices
    groups, among = ((), []) if in_groups is None else _in_groups(in_groups.toArrow(), ids, popular, rows["users"])
    nearest = None
    if approximate is not None and approximate.enabled and len(ids):
        nearest = Nearest.of(factors, approximate, seed=seed)
    return Catalogue(
        ids=ids,
        factors=factors,
        popular=np.vstack([popular, *among]),
        place=place,
        category=categories.to_numpy(zero_copy_only=False).astype(np.int64),
        price=rows["price"].to_numpy().astype(np.float32),
        content=rows["content"].to_numpy(),
        scopes={} if scopes is None else _places(scopes.toArrow(), ids),
        groups=groups,
        nearest=nearest,
    )


def _in_groups(
    counts: pa.Table, ids: pa.StringArray, popular: Floats, users: pa.ChunkedArray
) -> tuple[tuple[str, ...], list[Floats]]:
    """The groups, and how popular products are in each; what nobody has touched is as popular as among all."""
    names = tuple(sorted(counts["group"].unique().to_pylist()))
    if len(names) > _MOST_GROUPS:
        raise DataError(
            f"recommend.popularity_by: {len(names)} groups, more than {_MOST_GROUPS}", fix="Take fewer of its columns."
        )
    rated = users.is_valid().to_numpy()
    among_all = pc.fill_null(users, 0).to_numpy().astype(np.float64)
    total = among_all.sum()
    found = []
    for name in names:
        of_group = counts.filter(pc.equal(counts["group"], name))
        at = pc.index_in(of_group["product_id"], ids).fill_null(-1).to_numpy()
        there = (at >= 0) & rated[at]
        here = np.zeros(len(ids))
        here[at[there]] = of_group["users"].to_numpy()[there]
        share = (here + _PRIOR * among_all / total) / (here.sum() + _PRIOR) if total else among_all
        log = np.log(share * total + 2) / np.log(among_all.max(initial=0) + 2)
        found.append(np.where(rated, log, popular).astype(np.float32))
    return names, found


def _places(scopes: pa.Table, ids: pa.StringArray) -> dict[str, npt.NDArray[np.int64]]:
    """Offer to the places of its products, ascending; of offers none of whose products is there, no places."""
    at = pc.index_in(scopes["product_id"], ids).fill_null(-1).to_numpy()
    offers = scopes["offer_id"].combine_chunks().dictionary_encode()
    number = offers.indices.to_numpy()
    return {
        offer: np.unique(at[(number == n) & (at >= 0)]).astype(np.int64)
        for n, offer in enumerate(offers.dictionary.to_pylist())
    }


@dataclass(frozen=True)
class Scorer:
    """What lists are made of, as of a day.

    Attributes:
        interactions: The table `interactions` as of the day.
        user_factors: user_id, features: what `als.user_factors` or `foldin.fold_in` gives.
        product_index: product_id, idx.
        products: What `catalogue` gives.
        groups: user_id, group: whose popular products a user without factors gets; None: everybody's.
    """

    interactions: DataFrame
    user_factors: DataFrame
    product_index: DataFrame
    products: Catalogue
    groups: DataFrame | None = None

    def recommend(self, users: DataFrame, rules: Sequence[Rule], second: SecondStage | None = None) -> DataFrame:
        """The table `candidates` without its `as_of`, by each of some rules: a row for every user, best product first.

        `source` says why a product is there: `own` (bought before), `als` (users alike did), `content` (nobody has
        touched it, and it is like what does suit), `popular` (nothing is known of the user that says more). Ties go to
        the smaller id. A task holds block_users × 2,048 scores and a copy of the factors.

        Args:
            users: user_id, one row a user.
            rules: What is shown; all have the `block_users` of the first.
            second: What orders the best again, such as `rerank.Ranker`; None: nothing.

        Returns:
            rule (place in `rules`), user_id, items (array of product_id, score, source), scoped (offer_id to the best
            product_ids of its scope).
        """
        placed = self._placed(users, rules[0].block_users, whole=second is not None)
        shared = users.sparkSession.sparkContext.broadcast((self.products, second))

        def score(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
            for block in _blocks(batches):
                for number, rule in enumerate(rules):
                    best = best_of_block(block, shared.value[0], rule, shared.value[1])
                    yield best.add_column(0, "rule", pa.array(np.full(best.num_rows, number), pa.int32()))

        return placed.mapInArrow(score, DDL)

    def pools(self, users: DataFrame, rule: Rule, size: int, described: Callable[[Pool], Floats]) -> DataFrame:
        """The best `size` products of every user, with what a second stage sees of them; `users` as of `recommend`.

        Returns:
            user_id, product_ids (array, best first), features (array: those of the first product, of the second, …).
        """
        placed = self._placed(users, rule.block_users, whole=True)
        shared = users.sparkSession.sparkContext.broadcast((self.products, described))

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

    def _placed(self, users: DataFrame, block_users: int, *, whole: bool) -> DataFrame:
        """What `blocks.best_of_block` takes, block by block; `whole`: with all that `blocks.Pool` says."""
        numbered = self.interactions.join(
            F.broadcast(self.product_index.withColumnRenamed("idx", "product")), on="product_id", how="inner"
        )
        more = [F.col("purchases"), _days_since("last_time", "days"), _days_since("first_time", "age")] if whole else []
        pairs = (numbered if whole else numbered.where(F.col("purchases") > 0)).select(
            "user_id", "product", F.col("weight").cast("float").alias("weight"), *more
        )
        wanted = users.select("user_id", F.lit(True).alias("wanted"))
        if self.groups is not None:
            wanted = wanted.join(self.groups.select("user_id", "group"), on="user_id", how="left")
        together = wanted.unionByName(
            self.user_factors.select("user_id", "features"), allowMissingColumns=True
        ).unionByName(pairs, allowMissingColumns=True)
        blocks = -(-users.count() // block_users)
        tasks = int(users.sparkSession.conf.get("spark.sql.shuffle.partitions") or 1)
        return (
            together.withColumn("block", F.pmod(F.xxhash64("user_id"), F.lit(max(blocks, 1))).cast("int"))
            .repartitionById(tasks, "block")
            .sortWithinPartitions("block")
        )


def _days_since(moment: str, name: str) -> Column:
    """Days from a moment to `as_of`, with a fraction."""
    seconds = F.unix_timestamp(F.col("as_of").cast("timestamp")) - F.unix_timestamp(moment)
    return (seconds / 86400).cast("float").alias(name)


def found_share(scorer: Scorer, users: DataFrame, rule: Rule) -> float | None:
    """Of the products that some users' lists would have, the share that they have with the index of `scorer`.

    Args:
        scorer: With an index.
        users: user_id, one row a user.
        rule: What is shown.
    """
    exact = replace(scorer, products=replace(scorer.products, nearest=None))
    pairs = (of.recommend(users, [rule]).select("user_id", F.explode("items.product_id")) for of in (scorer, exact))
    found, wanted = (frame.withColumn(name, F.lit(1)) for frame, name in zip(pairs, ("found", "wanted"), strict=True))
    both = wanted.join(found, on=["user_id", "col"], how="left")
    row = both.agg((F.count("found") / F.nullif(F.count("wanted"), F.lit(0))).alias("share")).first()
    return None if row is None else row["share"]


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
