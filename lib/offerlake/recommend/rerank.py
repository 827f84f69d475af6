"""The second stage: boosted trees order what the first stage has found by the probability of a purchase.

The first stage scores everything by two numbers; the second looks at the best of it, a user's pool, and sees what the
first does not: how long ago and how often the product was bought, whether people come back for it, its category's share
of what the user buys, its price beside what he pays (two stages: Covington, Adams and Sargin 2016, section 2).
The trees work within the pass of `Scorer.recommend`, so that a pool never leaves its block.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from offerlake.config import RerankSettings
from offerlake.randomness import uniform
from offerlake.recommend.blocks import Bools, Catalogue, Floats, Ints, Pool, matrix, rank_within, usual_price

TRAITS = ("buyers", "repeats", "purchases", "newcomers")
"""What is known of a product, see `traits`."""
FEATURES = (
    "score", "place", "own", "known", "popularity",
    "pair_weight", "pair_purchases", "pair_days", "pair_share", "pair_cycle", "pair_due",
    "user_products", "user_weight", "user_purchases", "user_days",
    "category_share", "category_days", "price_ratio",
    *(f"product_{name}" for name in TRAITS),
)  # fmt: skip
"""What the trees see of a user and a product, see `features`."""
TREES = "trees.ubj"
"""The file of the model `reranker` that has the trees."""
_LEAST = 20  # bought ones, and others, without which nothing is learnt
_HESSIAN = 5  # Σ p·(1 − p) of a leaf at least: about so many bought ones


def traits(interactions: DataFrame, *, days: int) -> DataFrame:
    """How products are bought.

    Args:
        interactions: The table `interactions` as of a day.
        days: Length of the window before it in which who takes a product up is new.

    Returns:
        product_id; buyers: log(1 + users who bought it); repeats: the share of them who did more than once;
        purchases: of a buyer, in the mean; newcomers: log(1 + buyers whose first event with it lies in the window).
        One row a product that was bought.
    """
    recent = F.col("first_time") >= F.date_sub("as_of", days).cast("timestamp")
    bought = interactions.where(F.col("purchases") > 0)
    return bought.groupBy("product_id").agg(
        F.log1p(F.count("user_id")).alias("buyers"),
        F.avg((F.col("purchases") > 1).cast("double")).alias("repeats"),
        F.avg("purchases").alias("purchases"),
        F.log1p(F.count_if(recent)).alias("newcomers"),
    )


def beside(products: Catalogue, of_products: DataFrame) -> Floats:
    """The traits in the order of the catalogue, products × traits; NaN where nobody bought it. Collects them."""
    rows = of_products.select("product_id", *TRAITS).toArrow()
    at = pc.index_in(products.ids, rows["product_id"].combine_chunks()).fill_null(-1).to_numpy()
    table = np.column_stack([rows[name].to_numpy() for name in TRAITS]).astype(np.float32)
    whole: Floats = np.vstack([table, np.full((1, len(TRAITS)), np.nan, dtype=np.float32)])[at]
    return whole


@dataclass(frozen=True)
class Ranker:
    """The second stage; called with a pool it gives the probability of a purchase of each of its products.

    Attributes:
        size: Products of a pool.
        trees: Of xgboost, as its UBJSON.
        traits: What `beside` gives for the catalogue that is scored.
    """

    size: int
    trees: bytes
    traits: Floats

    def __call__(self, pool: Pool) -> Floats:
        """The probability of a purchase of each product of the pool."""
        found: Floats = np.asarray(self._booster.inplace_predict(features(pool, self.traits)), dtype=np.float32)
        return found

    @cached_property
    def _booster(self) -> Any:
        import xgboost

        booster = xgboost.Booster(model_file=bytearray(self.trees))
        booster.set_param({"nthread": 1})  # each task has one core
        return booster


def features(pool: Pool, of_products: Floats) -> Floats:
    """What the trees see: products of the pool × FEATURES, NaN where there is nothing to tell.

    `pair_…` is what the user had to do with the product (the weight of `interactions`, purchases, days since the last
    event, its share of his weight), `user_…` with all products, `category_…` with its top category. A pair's cycle is
    the mean of the days between purchases, where there are two or more: (first event to last) / (purchases − 1); `due`
    is the days since the last in such cycles, 1 where it is time again. A price's ratio is to the mean price of what he
    bought, as a logarithm.
    """
    seen, users = _Seen.of(pool), len(pool.users)
    products, category = pool.products, pool.products.category
    weights, bought, days, number = seen.sums(seen.row, users)
    categories = int(category.max(initial=0)) + 1
    groups, group = np.unique(seen.row * categories + category[seen.column], return_inverse=True)
    in_category, _, lately, _ = seen.sums(group, len(groups))
    at_group, there = _found(groups, pool.who * categories + category[pool.which])
    at_pair, met = _found(seen.pair, pool.who * len(products.ids) + pool.which)
    usual = usual_price(seen.row[seen.purchases > 0], products.price[seen.column[seen.purchases > 0]], users)
    with np.errstate(divide="ignore", invalid="ignore"):
        columns: list[Any] = [
            pool.score,
            rank_within(np.bincount(pool.who, minlength=users)),
            pool.own,
            pool.known[pool.who],
            products.popularity[pool.which],
            *(_taken(values, at_pair, met) for values in (seen.weight, seen.purchases, seen.days)),
            _taken(seen.weight, at_pair, met) / weights[pool.who],
            cycle := _taken(seen.cycle, at_pair, met),
            _taken(seen.days, at_pair, met) / cycle,
            number[pool.who],
            weights[pool.who],
            bought[pool.who],
            days[pool.who],
            _taken(in_category, at_group, there) / weights[pool.who],
            _taken(lately, at_group, there),
            np.log(products.price[pool.which] / usual[pool.who]),
        ]
    told = np.column_stack([np.asarray(column, dtype=np.float32) for column in columns])
    told[~np.isfinite(told)] = np.nan
    return np.hstack([told, of_products[pool.which]])


@dataclass(frozen=True)
class _Seen:
    """What a block's users had to do with products of the catalogue, sorted by user and product.

    Attributes:
        row: The user.
        column: Place of the product.
        pair: Both as one number, ascending.
        weight: Of `interactions`.
        purchases: Likewise.
        days: Since the last event.
        cycle: Days between purchases, NaN with fewer than two.
    """

    row: Ints
    column: Ints
    pair: Ints
    weight: Floats
    purchases: Floats
    days: Floats
    cycle: Floats

    @classmethod
    def of(cls, pool: Pool) -> _Seen:
        rows = pool.block.filter(pool.block["product"].is_valid())
        row = pc.index_in(rows["user_id"], pool.users).fill_null(-1).to_numpy().astype(np.int64)
        column = pool.products.places(rows["product"].to_numpy().astype(np.int64))
        pair = row * len(pool.products.ids) + column
        order = np.argsort(pair, kind="stable")
        order = order[(row[order] >= 0) & (column[order] >= 0)]
        weight, purchases, days, age = (
            rows[name].to_numpy().astype(np.float32)[order] for name in ("weight", "purchases", "days", "age")
        )
        with np.errstate(divide="ignore", invalid="ignore"):
            cycle = np.where(purchases > 1, (age - days) / (purchases - 1), np.nan).astype(np.float32)
        return cls(row[order], column[order], pair[order], weight, purchases, days, cycle)

    def sums(self, group: Ints, groups: int) -> tuple[Floats, Floats, Floats, Ints]:
        """By group: the weights' and the purchases' sum, the days since the last event (∞: none), and the rows."""
        last = np.full(groups, np.inf, dtype=np.float32)
        np.minimum.at(last, group, self.days)
        weights, bought = (
            np.bincount(group, weights=values, minlength=groups).astype(np.float32)
            for values in (self.weight, self.purchases)
        )
        return weights, bought, last, np.bincount(group, minlength=groups)


def _found(among: Ints, wanted: Ints) -> tuple[Ints, Bools]:
    """Places of numbers among ascending ones, and whether they are there."""
    if not len(among):
        return np.zeros(len(wanted), dtype=np.int64), np.zeros(len(wanted), dtype=bool)
    at = np.minimum(np.searchsorted(among, wanted), len(among) - 1)
    return at, among[at] == wanted


def _taken(values: Floats, at: Ints, there: Bools) -> Floats:
    """Values at some places, NaN for what is not there."""
    found = np.full(len(at), np.nan, dtype=np.float32)
    found[there] = values[at[there]]
    return found


def drawn(users: DataFrame, *, most: int, seed: int) -> DataFrame:
    """So many users at most, drawn by id."""
    return users.orderBy(uniform(seed, "second stage", F.col("user_id")), "user_id").limit(most)


def train(pools: DataFrame, truth: DataFrame, *, settings: RerankSettings, seed: int) -> bytes | None:
    """Learns from users' pools as of a day, and what they bought after it.

    They come to the driver: users × `settings.pool` rows of 4 × 22 bytes, 44 MB for 5,000 users and 100.

    Args:
        pools: What `Scorer.pools` gives, for users that `drawn` gives.
        truth: user_id, product_id, distinct.
        settings: trees, depth, rate.
        seed: Of xgboost.

    Returns:
        The trees; None where fewer than 20 of the pools' products were bought, or fewer than 20 were not.
    """
    import xgboost

    told = pools.join(truth.groupBy("user_id").agg(F.collect_set("product_id").alias("bought")), "user_id", "left")
    rows = told.select("user_id", "product_ids", "features", "bought").toArrow().sort_by("user_id")
    label = _labels(rows)
    if min(label.sum(), (1 - label).sum()) < _LEAST:
        return None
    given: Mapping[str, Any] = {
        "objective": "binary:logistic",
        "tree_method": "hist",
        "max_depth": settings.depth,
        "eta": settings.rate,
        "min_child_weight": _HESSIAN,
        "seed": seed,
    }
    data = xgboost.DMatrix(matrix(rows["features"], len(label)), label)
    return bytes(xgboost.train(dict(given), data, settings.trees).save_raw("ubj"))


def _labels(rows: pa.Table) -> Floats:
    """1 where a user bought a product of his pool, 0 else; in the order of the pools' rows."""
    user = np.arange(rows.num_rows)

    def pairs(name: str) -> pa.Array:
        lists = rows[name].combine_chunks()
        who = np.repeat(user, pc.fill_null(pc.list_value_length(lists), 0).to_numpy(zero_copy_only=False))
        return pc.binary_join_element_wise(pa.array(who.astype(str)), lists.flatten(), " ")

    label: Floats = pc.is_in(pairs("product_ids"), pairs("bought")).to_numpy(zero_copy_only=False).astype(np.float32)
    return label
