"""One block of users against all products, in NumPy: the scores, what may be shown, and the best of it.

score = own_weight · log(1 + weight)   where the user has bought the product, else 0
      + popularity · uᵀv               where the user has factors, else popularity alone

Multiplying by popularity (of late, 0 to 1) is what makes plain ALS beat popularity on products new to a household.
What may not be shown is left out before the best are taken, so that filters never shorten a list that could be full.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from offerlake.config import RecommendSettings

Floats = npt.NDArray[np.float32]
Bools = npt.NDArray[np.bool_]
Doubles = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Candidates = tuple[Ints, Ints, Floats]
"""Row in the block, place of the product and score of each."""

DDL = "user_id string, items array<struct<product_id:string,score:double,source:string>>"
"""What `best_of_block` gives, as Spark says it."""
_ITEMS = pa.list_(pa.struct([("product_id", pa.string()), ("score", pa.float64()), ("source", pa.string())]))
_OUT = pa.schema([("user_id", pa.string()), ("items", _ITEMS)])
_SOURCES = ("own", "als", "popular")
_DIGITS = 5  # decimals of a score: float32 has about seven digits, and sums differ in the last
_FIRST = 64.0  # lifts bought products above all others; scores are far below
_STRIP = 2048  # products whose scores are made at once: with 256 users two megabytes, what a core keeps near
_HELD = 4  # times as many candidates as are wanted are held before all but the best go
_SPARE = 2  # times as many products as are wanted are looked at where a category may have only some of them
_FURTHER = 8  # times as many as that, for users whose list is not full then


@dataclass(frozen=True)
class Rule:
    """How candidates are chosen.

    Attributes:
        n: Products a user.
        mode: replenish: bought products come first; discover: they never come; both: they compete.
        own_weight: Of log(1 + weight) of a bought product, ≥ 0.
        block_users: Users scored at once.
        per_category: Products of one top category at most in a user's list; None: any number.
        price_band: Of what a user has not bought only prices between so many times the mean price of what he bought
            come; products without a price do, and everything does for users without a purchase. None: all prices.
    """

    n: int
    mode: Literal["replenish", "discover", "both"]
    own_weight: float
    block_users: int
    per_category: int | None = None
    price_band: tuple[float, float] | None = None

    @classmethod
    def of(cls, settings: RecommendSettings, *, own_weight: float) -> Rule:
        """The rule of the settings, with one of its weights."""
        return cls(
            settings.n,
            settings.mode,
            own_weight,
            settings.block_users,
            settings.per_category,
            settings.price_band,
        )


@dataclass(frozen=True)
class Catalogue:
    """The products that can be recommended, in the order of their ids; what every task gets a copy of.

    Attributes:
        ids: product_id, one a product, ascending.
        factors: Products × rank, already multiplied by popularity.
        popularity: Products, 0 to 1.
        place: Number of a product (idx) to its place in `ids`, −1: not among them.
        category: Products: a number for each top category.
        price: Products, NaN: not known.
    """

    ids: pa.StringArray
    factors: Floats
    popularity: Floats
    place: Ints
    category: Ints
    price: Floats


def best_of_block(block: pa.Table, products: Catalogue, rule: Rule) -> pa.RecordBatch:
    """Scores one block of users.

    Args:
        block: user_id, features (or null), bought (numbers of products, or null), weights (likewise).
        products: The catalogue.
        rule: What is shown.
    """
    scores = _Scores.of(block, products, rule)
    who, which, points = _best(scores, rule.n, category=products.category, most=rule.per_category)
    own = np.isin(who * len(products.ids) + which, scores.row * len(products.ids) + scores.column)
    if rule.mode == "replenish":
        points = points - own * _FIRST
    items = pa.StructArray.from_arrays(
        [
            products.ids.take(pa.array(which)),
            pa.array(np.round(points, _DIGITS), pa.float64()),
            pa.array(_SOURCES, pa.string()).take(pa.array(np.where(own, 0, np.where(scores.known[who], 1, 2)))),
        ],
        fields=list(_ITEMS.value_type),
    )
    offsets = pa.array(np.concatenate([[0], np.cumsum(np.bincount(who, minlength=block.num_rows))]), pa.int32())
    names = block["user_id"].combine_chunks()
    return pa.RecordBatch.from_arrays([names, pa.ListArray.from_arrays(offsets, items, type=_ITEMS)], schema=_OUT)


@dataclass(frozen=True)
class _Scores:
    """The scores of a block, made a strip of products at a time: what is looked at stays in the processor's cache.

    Attributes:
        products: The catalogue.
        known: Users: whether they have factors.
        factors: Those users' factors.
        row: User of each purchase.
        column: Its product's place, ascending.
        bonus: What it adds to the score; −inf: not to be shown.
        low: Users × 1: the least price that may be shown of what was not bought, NaN: any; None: to everybody.
        high: Likewise, the highest.
    """

    products: Catalogue
    known: Bools
    factors: Floats
    row: Ints
    column: Ints
    bonus: Floats
    low: Floats | None
    high: Floats | None

    @classmethod
    def of(cls, block: pa.Table, products: Catalogue, rule: Rule) -> _Scores:
        """Reads a block, see `best_of_block`."""
        known = block["features"].is_valid().to_numpy(zero_copy_only=False)
        row, column, weight = _bought(block, products.place)
        lift = {"discover": -np.inf, "replenish": _FIRST, "both": 0.0}[rule.mode]
        bonus = (rule.own_weight * np.log1p(weight) + lift).astype(np.float32)
        low = high = None
        if rule.price_band is not None:
            usual = _usual_price(row, products.price[column], block.num_rows)[:, None]
            low, high = (usual * np.float32(times) for times in rule.price_band)
        order = np.argsort(column, kind="stable")
        factors = matrix(block["features"].drop_null(), int(known.sum()))
        return cls(products, known, factors, row[order], column[order], bonus[order], low, high)

    def __len__(self) -> int:
        return len(self.known)

    def some(self, rows: Ints) -> _Scores:
        """Those of some users, in order."""
        place = np.full(len(self), -1)
        place[rows] = np.arange(len(rows))
        there = place[self.row] >= 0
        return _Scores(
            self.products,
            self.known[rows],
            self.factors[np.cumsum(self.known)[rows][self.known[rows]] - 1],
            place[self.row[there]],
            self.column[there],
            self.bonus[there],
            None if self.low is None else self.low[rows],
            None if self.high is None else self.high[rows],
        )

    def strip(self, begin: int, end: int) -> tuple[Floats, Bools]:
        """The scores of products `begin` to `end` (exclusive), users × products, and which of them may be shown."""
        if self.known.all():
            scores = self.factors @ self.products.factors[begin:end].T
        else:
            scores = np.tile(self.products.popularity[begin:end], (len(self), 1))
            if self.known.any():
                scores[self.known] = self.factors @ self.products.factors[begin:end].T
        allowed = np.ones(scores.shape, dtype=bool)
        if self.low is not None and self.high is not None:
            price = self.products.price[begin:end]
            allowed = ~((price < self.low) | (price > self.high))  # NaN is in every band
        first, last = np.searchsorted(self.column, [begin, end])
        own = self.row[first:last], self.column[first:last] - begin
        scores[own] += self.bonus[first:last]
        allowed[own] = self.bonus[first:last] > -np.inf
        return scores, allowed


def _best(scores: _Scores, n: int, *, category: Ints, most: int | None) -> tuple[Ints, Ints, Doubles]:
    """Each row's n largest scores, largest first, ties to the smaller place: row, place and score of each.

    Of one category not more than `most` come: then the best twice n are looked at, and more of those rows whose list
    these do not fill.
    """
    size = len(category)
    looked = min(size, n if most is None else _SPARE * n)
    found = _largest(scores, looked, size)
    if most is None:
        return found
    who, which, points = _thinned(*found, n=n, category=category, most=most)
    while looked < size and len(short := np.flatnonzero(np.bincount(who, minlength=len(scores)) < n)):
        looked = min(size, looked * _FURTHER)
        row, place, point = _thinned(*_largest(scores.some(short), looked, size), n=n, category=category, most=most)
        kept = ~np.isin(who, short)
        who = np.concatenate([who[kept], short[row]])
        order = np.argsort(who, kind="stable")
        who, which = who[order], np.concatenate([which[kept], place])[order]
        points = np.concatenate([points[kept], point])[order]
    return who, which, points


def _largest(scores: _Scores, k: int, size: int) -> tuple[Ints, Ints, Doubles]:
    """Each row's k largest scores of what may be shown, rounded, in order.

    Of a strip only what is at least the k-th largest of those before it is kept. What is as large as that once both
    are rounded is kept too: ties go by place.
    """
    least = np.full((len(scores), 1), -np.inf, dtype=np.float32)
    held: list[Candidates] = []
    for begin in range(0, size, _STRIP):
        strip, allowed = scores.strip(begin, min(size, begin + _STRIP))
        if begin == 0 and k < strip.shape[1]:
            least = _at_least(np.where(allowed, strip, -np.inf), k)
        at = np.flatnonzero((strip >= least) & allowed)
        who, which = np.divmod(at, strip.shape[1])
        held.append((who, which + begin, strip.ravel()[at]))
        if sum(len(part[0]) for part in held) > _HELD * k * len(scores):
            who, which, points = _first(held, k, rows=len(scores))
            held = [(who, which, points.astype(np.float32))]
            least = _at_least(_side_by_side(*held[0], rows=len(scores))[0], k)
    return _first(held, k, rows=len(scores))


def _first(held: list[Candidates], k: int, *, rows: int) -> tuple[Ints, Ints, Doubles]:
    """Of each row the k largest, rounded, in order; of equal ones those held first, whose places are smaller."""
    if not held:
        return np.empty(0, dtype=np.int64), np.empty(0, dtype=np.int64), np.empty(0)
    who, which, value = (np.concatenate(parts) for parts in zip(*held, strict=True))
    order = np.argsort(who.astype(np.min_scalar_type(rows)), kind="stable")  # of small numbers it is linear
    values, places = _side_by_side(who[order], which[order], value[order], rows=rows)
    points = values.astype(np.float64).round(_DIGITS)
    ranked = np.argsort(-points, axis=1, kind="stable")[:, :k]
    points, places = np.take_along_axis(points, ranked, axis=1), np.take_along_axis(places, ranked, axis=1)
    there, ranks = np.nonzero(points > -np.inf)
    return there, places[there, ranks], points[there, ranks]


def _at_least(values: Floats, k: int) -> Floats:
    """What each row's k-th largest is at least, once rounded (rows, 1); −inf where there are fewer."""
    if values.shape[1] < k:
        return np.full((len(values), 1), -np.inf, dtype=np.float32)
    return np.partition(values, -k, axis=1)[:, -k, None] - np.float32(2 * 10.0**-_DIGITS)


def _side_by_side(who: Ints, which: Ints, value: Floats, *, rows: int) -> tuple[Floats, Ints]:
    """Values and places in rows as long as the longest, filled up with −inf and 0."""
    rank = _rank_within(who)
    width = int(rank.max(initial=-1)) + 1
    values, places = np.full((rows, width), -np.inf, dtype=np.float32), np.zeros((rows, width), dtype=np.int64)
    values[who, rank], places[who, rank] = value, which
    return values, places


def _thinned(
    who: Ints, which: Ints, points: Doubles, *, n: int, category: Ints, most: int
) -> tuple[Ints, Ints, Doubles]:
    """Of each row's, in order, the first `most` of a category, and n of those."""
    groups = who * (category.max(initial=0) + 1) + category[which]
    by_group = np.argsort(groups, kind="stable")
    place = np.empty(len(who), dtype=np.int64)
    place[by_group] = _rank_within(groups[by_group])
    few = place < most
    who, which, points = who[few], which[few], points[few]
    first = _rank_within(who) < n
    return who[first], which[first], points[first]


def _rank_within(groups: Ints) -> Ints:
    """The place of each row among those of its group, from 0; equal groups lie together."""
    at = np.arange(len(groups))
    starts = np.flatnonzero(np.concatenate([[True], groups[1:] != groups[:-1]])) if len(groups) else at
    return at - np.repeat(starts, np.diff(np.concatenate([starts, [len(groups)]])))


def _usual_price(row: Ints, prices: Floats, users: int) -> Floats:
    """The mean price of what each user bought; NaN where there is none."""
    priced = ~np.isnan(prices)
    total = np.bincount(row[priced], weights=prices[priced], minlength=users)
    count = np.bincount(row[priced], minlength=users)
    return np.where(count > 0, total / np.maximum(count, 1), np.nan).astype(np.float32)


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


def matrix(lists: pa.ChunkedArray, rows: int) -> Floats:
    """A column of equally long lists as a matrix."""
    flat = lists.combine_chunks().flatten().to_numpy(zero_copy_only=False)
    return flat.astype(np.float32).reshape(rows, -1) if rows else np.empty((0, 0), dtype=np.float32)
