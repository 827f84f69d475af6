"""One block of users against all products, in NumPy: the scores, what may be shown, and the best of it.

score = own_weight · log(1 + weight)   where the user has bought the product, else 0
      + appeal · uᵀv                   where the user has factors, else popularity alone

Multiplying by appeal (popularity of late, 0 to 1; in mode discover that among users who had not had the product) is
what makes plain ALS beat popularity on products new to a household.
What may not be shown is left out before the best are taken, so that filters never shorten a list that could be full.

Products are looked at in strips, those with the longest factors first. No product of a strip can score more than the
user's length times the strip's longest (Cauchy and Schwarz), so who has enough better ones by then does not look at it:
exact, as in LEMP (Teflioudi, Gemulla and Mykytiuk 2015, section 3). Where products sell as unevenly as they mostly do,
that leaves few.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from functools import cached_property
from typing import Literal, Protocol

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from offerlake.config import RecommendSettings
from offerlake.recommend.nearest import Nearest

Floats = npt.NDArray[np.float32]
Bools = npt.NDArray[np.bool_]
Ints = npt.NDArray[np.int64]

DDL = (
    "rule int, user_id string, items array<struct<product_id:string,score:double,source:string>>, "
    "scoped map<string,array<string>>"
)
"""What `best_of_block` gives, as Spark says it; before it the number of the rule."""
_ITEMS = pa.list_(pa.struct([("product_id", pa.string()), ("score", pa.float64()), ("source", pa.string())]))
_SCOPED = pa.map_(pa.string(), pa.list_(pa.string()))
_OUT = pa.schema([("user_id", pa.string()), ("items", _ITEMS), ("scoped", _SCOPED)])
_SOURCES = ("own", "als", "popular", "content")
_UNITS = 1e5  # of a score's points in 1: float32 has about seven digits, and sums differ in the last
_STRIP = 2048  # products whose scores are made at once: with 512 users four megabytes, what a core keeps near
_SAMPLE = 1024  # products whose scores say where a user's best are likely to begin
_HELD = 2  # times as many candidates as are wanted are held before all but the best go
_SPARE = 1.5  # times as many products as are wanted are looked at where a category may have only some of them
_FURTHER = 8  # times as many as that, for users whose list is not full then
_FIRST = 1 << 33  # units of points that put bought products above all others; scores stay below 40,000
_ROUNDED = 1.0001  # times a bound: sums of float32 may come out a little above what they are
_NONE = np.iinfo(np.int64).min


@dataclass(frozen=True)
class Rule:
    """How candidates are chosen.

    Attributes:
        n: Products a user.
        mode: replenish: bought products come first; discover: they never come; both: they compete.
        own_weight: Of log(1 + weight) of a bought product, ≥ 0.
        block_users: Users scored at once, about.
        scoped: Products of each scope a user.
        per_category: Products of one top category at most in a user's list; None: any number.
        personal: Whether users' factors count; if not, everybody gets what is popular, and last what nobody
            has touched.
        in_groups: Whether what is popular is so in the user's group.
        price_band: Of what a user has not bought only prices between so many times the mean price of what he bought
            come; products without a price do, and everything does for users without a purchase. None: all prices.
    """

    n: int
    mode: Literal["replenish", "discover", "both"]
    own_weight: float
    block_users: int
    scoped: int = 1
    per_category: int | None = None
    price_band: tuple[float, float] | None = None
    personal: bool = True
    in_groups: bool = True

    @classmethod
    def of(cls, settings: RecommendSettings, *, own_weight: float, scoped: int = 1) -> Rule:
        """The rule of the settings, with one of its weights, and so many products of each scope."""
        return cls(
            settings.n,
            settings.mode,
            own_weight,
            settings.block_users,
            scoped,
            settings.per_category,
            settings.price_band,
        )


@dataclass(frozen=True)
class Catalogue:
    """The products that can be recommended, in the order of their ids; what every task gets a copy of.

    Attributes:
        ids: product_id, one a product, ascending.
        factors: Products × rank, already multiplied by appeal.
        popular: 1 + groups × products, 0 to about 1: how popular products are among all, and in each group.
        place: Number of a product (idx) to its place in `ids`, −1: not among them.
        category: Products: a number for each top category.
        price: Products, NaN: not known.
        content: Products: whether factors and popularity are those of products that are like it.
        scopes: Id of an offer to the places of the products that it is limited to, ascending.
        groups: Names of the groups of users in which `popular` tells what is.
        nearest: What finds products for users' factors without looking at all; None: all are looked at.
    """

    ids: pa.StringArray
    factors: Floats
    popular: Floats
    place: Ints
    category: Ints
    price: Floats
    content: Bools
    scopes: Mapping[str, Ints] = field(default_factory=dict)
    groups: tuple[str, ...] = ()
    nearest: Nearest | None = None

    @property
    def popularity(self) -> Floats:
        """Of each product, among all users."""
        among_all: Floats = self.popular[0]
        return among_all

    @cached_property
    def strips(self) -> Strips:
        """The products as they are looked at; made once in a process."""
        return Strips.of(self.factors)

    def places(self, numbers: Ints) -> Ints:
        """Places of products by their numbers, −1: not among them."""
        return np.where(numbers < len(self.place), self.place[numbers % len(self.place)], -1)


@dataclass(frozen=True)
class Strips:
    """Products by the length of their factors, the longest first.

    Attributes:
        places: Their places in the catalogue.
        position: Of each place: where it stands in `places`.
        factors: Their factors.
        lengths: Of the factors.
    """

    places: Ints
    position: Ints
    factors: Floats
    lengths: Floats

    @classmethod
    def of(cls, factors: Floats) -> Strips:
        """Sorts them; of equal length the smaller place comes first."""
        lengths = np.linalg.norm(factors, axis=1)
        places = np.argsort(-lengths, kind="stable")
        position = np.empty_like(places)
        position[places] = np.arange(len(places))
        return cls(places, position, factors[places], lengths[places])


@dataclass(frozen=True)
class Pool:
    """The best of a block's users: what a second stage orders.

    Attributes:
        block: What `best_of_block` gets, with what was merely looked at, and `purchases`, `days` (since the last
            event) and `age` (since the first) of each pair.
        products: The catalogue.
        users: Their ids, ascending.
        known: Users: whether they have factors.
        who: Row of the user, ascending; his best product first.
        which: Place of the product.
        score: Of the first stage.
        own: Whether he has bought it.
    """

    block: pa.Table
    products: Catalogue
    users: pa.StringArray
    known: Bools
    who: Ints
    which: Ints
    score: Floats
    own: Bools


class SecondStage(Protocol):
    """What orders pools: gives each of their products a number, the larger the better."""

    @property
    def size(self) -> int:
        """Products of a pool."""

    def __call__(self, pool: Pool) -> Floats:
        """A number for each row of the pool."""


def best_of_block(
    block: pa.Table, products: Catalogue, rule: Rule, second: SecondStage | None = None
) -> pa.RecordBatch:
    """Scores one block of users.

    Args:
        block: Rows of three kinds, in any order, each with a `user_id`: `wanted` is true of users to be scored, who
            may have a `group`, a user's factors are `features`, and a purchase has `product` (its number) and
            `weight`. Factors and purchases of other users are passed over.
        products: The catalogue.
        rule: What is shown.
        second: What orders the best again; the score is what it gives then. None: nothing.
    """
    names, scores = _Scores.of(block, products, rule)
    if second is None:
        best = _best(scores, rule.n, most=rule.per_category)
    else:
        best = _ordered(_pool(block, names, scores, second.size), second, rule)
    source = np.where(products.content[best.which], 3, np.where(scores.known[best.who], 1, 2))
    source[best.own] = 0
    items = pa.StructArray.from_arrays(
        [
            products.ids.take(pa.array(best.which)),
            pa.array(best.points / _UNITS, pa.float64()),
            pa.array(_SOURCES, pa.string()).take(pa.array(source)),
        ],
        fields=list(_ITEMS.value_type),
    )
    return pa.RecordBatch.from_arrays([names, _lists(best, items, len(scores)), _scoped(scores)], schema=_OUT)


def pool_of_block(block: pa.Table, products: Catalogue, rule: Rule, size: int) -> Pool:
    """The best of a block for a second stage, see `best_of_block`."""
    return _pool(block, *_Scores.of(block, products, rule), size)


def _pool(block: pa.Table, names: pa.StringArray, scores: _Scores, size: int) -> Pool:
    best = _best(scores, size, most=None)
    points = (best.points / _UNITS).astype(np.float32)
    return Pool(block, scores.products, names, scores.known, best.who, best.which, points, best.own)


def _ordered(pool: Pool, second: SecondStage, rule: Rule) -> _Chosen:
    """The best of a pool by the second stage; ties to the smaller id."""
    value = second(pool).astype(np.float64)
    later = ~pool.own if rule.mode == "replenish" else np.zeros(len(pool.own), dtype=bool)
    order = np.lexsort((pool.which, -value, later, pool.who))
    best = _Chosen(pool.who, pool.which, np.rint(value * _UNITS).astype(np.int64), pool.own)[order]
    if rule.per_category is not None:
        return _thinned(best, rule.n, category=pool.products.category, most=rule.per_category)
    return best[rank_within(np.bincount(best.who)) < rule.n]


def _lists(best: _Chosen, values: pa.Array, users: int) -> pa.ListArray:
    """The values of each user's products as a list."""
    ends = np.cumsum(np.bincount(best.who, minlength=users))
    return pa.ListArray.from_arrays(pa.array(np.concatenate([[0], ends]), pa.int32()), values)


def _scoped(scores: _Scores) -> pa.Array:
    """The best products of each user within each scope, as maps; null without scopes."""
    users, names = len(scores), sorted(scores.products.scopes)
    if not names:
        return pa.nulls(users, _SCOPED)
    found = []
    for name in names:
        some = scores.within(scores.products.scopes[name])
        best = _best(some, scores.rule.scoped, most=None)
        found.append(_lists(best, some.products.ids.take(pa.array(best.which)), users))
    by_user = np.arange(len(names) * users).reshape(len(names), users).T.ravel()
    ends = pa.array(np.arange(users + 1) * len(names), pa.int32())
    return pa.MapArray.from_arrays(ends, pa.array(names * users), pa.concat_arrays(found).take(pa.array(by_user)))


@dataclass(frozen=True)
class _Scores:
    """The scores of a block, made a strip of products at a time: what is looked at stays in the processor's cache.

    Attributes:
        products: The catalogue.
        rule: What is shown.
        known: Users: whether they have factors.
        factors: Those users' factors.
        group: Users: the row of `products.popular` that is theirs.
        row: User of each purchase; strip by strip, in each by user.
        column: Its product's place in `products.strips`.
        bonus: What it adds to the score.
        low: Users: the least price that may be shown of what was not bought, NaN: any; None: to everybody.
        high: Likewise, the highest.
    """

    products: Catalogue
    rule: Rule
    known: Bools
    factors: Floats
    group: Ints
    row: Ints
    column: Ints
    bonus: Floats
    low: Floats | None
    high: Floats | None

    @classmethod
    def of(cls, block: pa.Table, products: Catalogue, rule: Rule) -> tuple[pa.StringArray, _Scores]:
        """Reads a block, see `best_of_block`: the ids of its users, and their scores."""
        wanted = block.filter(block["wanted"].is_valid()).sort_by("user_id")
        names = wanted["user_id"].combine_chunks()
        group = np.zeros(len(names), dtype=np.int64)
        if products.groups and rule.in_groups:
            among = pa.array(products.groups, pa.string())
            group = pc.index_in(wanted["group"], among).fill_null(-1).to_numpy().astype(np.int64) + 1

        def rows_of(some: pa.Table) -> tuple[Ints, Bools]:
            row = pc.index_in(some["user_id"], names).fill_null(-1).to_numpy().astype(np.int64)
            return row, row >= 0

        of_model = block.filter(block["features"].is_valid()) if rule.personal else block.slice(0, 0)
        row, there = rows_of(of_model)
        known = np.zeros(len(names), dtype=bool)
        known[row[there]] = True
        factors = matrix(of_model["features"], len(row))[there][np.argsort(row[there])]

        bought = block.filter(block["product"].is_valid())
        if "purchases" in block.column_names:
            bought = bought.filter(pc.greater(bought["purchases"], 0))
        row, there = rows_of(bought)
        column = products.places(bought["product"].to_numpy().astype(np.int64))
        there &= column >= 0
        row, column, weight = row[there], column[there], bought["weight"].to_numpy()[there]
        low = high = None
        if rule.price_band is not None:
            usual = usual_price(row, products.price[column], len(names))
            low, high = (usual * np.float32(times) for times in rule.price_band)
        column = products.strips.position[column]
        order = np.lexsort((row, column // _STRIP))
        bonus = (rule.own_weight * np.log1p(weight)).astype(np.float32)
        scores = cls(products, rule, known, factors, group, row[order], column[order], bonus[order], low, high)
        return names, scores

    def __len__(self) -> int:
        return len(self.known)

    def some(self, rows: Ints) -> _Scores:
        """Those of some users, in ascending order."""
        place = np.full(len(self), -1)
        place[rows] = np.arange(len(rows))
        there = place[self.row] >= 0
        return _Scores(
            self.products,
            self.rule,
            self.known[rows],
            self.factors[np.cumsum(self.known)[rows][self.known[rows]] - 1],
            self.group[rows],
            place[self.row[there]],
            self.column[there],
            self.bonus[there],
            None if self.low is None else self.low[rows],
            None if self.high is None else self.high[rows],
        )

    def within(self, some: Ints) -> _Scores:
        """Those of the products at some places, ascending."""
        whole = self.products
        there = np.full(len(whole.ids) + 1, -1, dtype=np.int64)  # one more: what is not among them, −1, stays so
        there[some] = np.arange(len(some))
        products = Catalogue(
            ids=whole.ids.take(pa.array(some)),
            factors=whole.factors[some],
            popular=whole.popular[:, some],
            place=there[whole.place],
            category=whole.category[some],
            price=whole.price[some],
            content=whole.content[some],
            groups=whole.groups,
        )
        place = there[whole.strips.places[self.column]]
        kept = np.flatnonzero(place >= 0)
        column = products.strips.position[place[kept]]
        order = np.lexsort((self.row[kept], column // _STRIP))
        kept = kept[order]
        return replace(self, products=products, row=self.row[kept], column=column[order], bonus=self.bonus[kept])

    @cached_property
    def number(self) -> Ints:
        """Of each user with factors: the row of `factors` that is his."""
        return np.cumsum(self.known) - 1

    @cached_property
    def reach(self) -> Floats:
        """Of each user with factors: their length; 0 of the others."""
        lengths = np.zeros(len(self), dtype=np.float32)
        lengths[self.known] = np.linalg.norm(self.factors, axis=1)
        return lengths

    def guess(self, k: int) -> Floats:
        """What the k-th best score of each user's new products probably exceeds; −inf: cannot be said.

        It is a score among a sample of products, so far down that k of all products are all but sure to be above it.
        """
        size = len(self.products.ids)
        step = max(1, -(-size // _SAMPLE))
        expected = k / step
        rank = int(expected + 3 * expected**0.5 + 2)
        if rank * step > size:
            return np.full(len(self), -np.inf, dtype=np.float32)
        sample = slice(None, None, step)
        sampled = self._plain(sample, np.arange(len(self)), room=np.empty(len(self) * _SAMPLE, dtype=np.float32))
        there = self.column % step == 0
        sampled[self.row[there], self.column[there] // step] = -np.inf
        if self.low is not None and self.high is not None:
            price = self.products.price[self.products.strips.places[sample]]
            sampled[(price < self.low[:, None]) | (price > self.high[:, None])] = -np.inf
        return np.partition(sampled, -rank, axis=1)[:, -rank]

    def add_strip(self, begin: int, end: int, *, least: Floats, held: _Held, room: Floats) -> None:
        """Adds what may be shown of a strip (`end` is exclusive): bought, or of a score ≥ the user's least.

        The scores are made in `room`, users × _STRIP numbers: memory that is new each time costs as much again.
        """
        first, last = np.searchsorted(self.column // _STRIP, [begin // _STRIP, begin // _STRIP + 1])
        row, column = self.row[first:last], self.column[first:last]
        places = self.products.strips.places[begin:end]
        if self.rule.mode != "discover" and len(row):
            which = places[column - begin]
            held.add(row, which, self.of_pairs(row, which) + self.bonus[first:last], own=True)
        least = np.maximum(least, held.least)
        some = np.flatnonzero(self._bound(begin, end) >= least)
        if not len(some):
            return
        scores = self._plain(slice(begin, end), some, room=room)
        at = np.full(len(self), -1)
        at[some] = np.arange(len(some))
        there = at[row] >= 0
        scores[at[row[there]], column[there] - begin] = -np.inf
        found = np.flatnonzero(scores >= least[some, None])
        points = scores.ravel()[found]
        who, which = np.divmod(found, end - begin)
        who, which = some[who], places[which]
        fits = points > -np.inf
        if self.low is not None and self.high is not None:
            price = self.products.price[which]
            fits &= ~((price < self.low[who]) | (price > self.high[who]))  # NaN is in every band
        kept = np.flatnonzero(fits)
        held.add(who[kept], which[kept], points[kept], own=False)

    def of_pairs(self, row: Ints, which: Ints) -> Floats:
        """The scores of some users' products, by their places, without what is added where they were bought."""
        scores: Floats = self.products.popular[self.group[row], which]
        if not self.rule.personal:
            scores[self.products.content[which]] = 0
        known = self.known[row]
        if known.any():
            of_users, of_products = self.factors[self.number[row[known]]], self.products.factors[which[known]]
            scores[known] = np.einsum("nr,nr->n", of_users, of_products)
        return scores

    def _bound(self, begin: int, end: int) -> Floats:
        """Of each user: what no score of a strip exceeds."""
        bound: Floats = self.reach * (self.products.strips.lengths[begin] * np.float32(_ROUNDED))
        if not self.known.all():
            popular = self.products.popular[:, self.products.strips.places[begin:end]].max(axis=1)
            bound[~self.known] = popular[self.group[~self.known]]
        return bound

    def _plain(self, some: slice, users: Ints, *, room: Floats) -> Floats:
        """Some users' scores of some products without what was bought, users × products, in memory that is there."""
        strips, known = self.products.strips, self.known[users]
        of_products = strips.factors[some]
        scores: Floats = room[: len(users) * len(of_products)].reshape(len(users), len(of_products))
        if known.all():
            np.matmul(self.factors[self.number[users]], of_products.T, out=scores)
            return scores
        places = strips.places[some]
        scores[:] = self.products.popular[self.group[users][:, None], places]
        if not self.rule.personal:
            scores[:, self.products.content[places]] = 0
        if known.any():
            scores[known] = self.factors[self.number[users[known]]] @ of_products.T
        return scores


@dataclass(frozen=True)
class _Chosen:
    """Products of users, of each user the best first.

    Attributes:
        who: Row of the user in the block, ascending.
        which: Place of the product.
        points: Score in units of the last digit that is kept.
        own: Whether the user has bought it.
    """

    who: Ints
    which: Ints
    points: Ints
    own: Bools

    def __getitem__(self, some: Ints | Bools) -> _Chosen:
        return _Chosen(self.who[some], self.which[some], self.points[some], self.own[some])

    @classmethod
    def merged(cls, parts: list[_Chosen]) -> _Chosen:
        """Those of different users as one."""
        if len(parts) == 1:
            return parts[0]
        columns = (np.concatenate([getattr(part, field.name) for part in parts]) for field in fields(cls))
        together = cls(*columns)
        return together[np.argsort(together.who, kind="stable")]


class _Held:
    """The candidates of each user, of which the best k remain.

    Each is one whole number, and of two the larger is the better: from its highest bit on it has the points, the place
    (counted from the end: of equal points the smaller place is the better), and whether it was bought.

    Attributes:
        least: Users: what a score must reach to be among the best k, as it is before it is rounded.
    """

    def __init__(self, users: int, k: int, *, size: int, own_first: bool) -> None:
        self._k, self._last, self._own_first = k, size - 1, own_first
        self._bits = size.bit_length()
        self._numbers = np.full((users, _HELD * k), _NONE)
        self._count = np.zeros(users, dtype=np.int64)
        self.least = np.full(users, -np.inf, dtype=np.float32)

    def add(self, who: Ints, which: Ints, score: Floats, *, own: bool) -> None:
        """Adds candidates that were not there before: those of a user side by side, at most a strip of them."""
        points = np.rint(score.astype(np.float64) * _UNITS).astype(np.int64)
        if own and self._own_first:
            points += _FIRST
        count = np.bincount(who, minlength=len(self._count))
        at = self._count[who] + rank_within(count)
        if (more := int(at.max(initial=0)) + 1 - self._numbers.shape[1]) > 0:
            self._numbers = np.pad(self._numbers, ((0, 0), (0, more)), constant_values=_NONE)
        self._numbers[who, at] = (((points << self._bits) + self._last - which) << 1) + own
        self._count += count
        if self._count.max(initial=0) > _HELD * self._k:
            self._keep_best()

    def best(self) -> _Chosen:
        """What remains."""
        self._keep_best()
        who, rank = np.nonzero(self._numbers[:, : self._k] > _NONE)
        number = self._numbers[who, rank]
        points, own = number >> (self._bits + 1), (number & 1).astype(bool)
        if self._own_first:
            points = points - own * _FIRST
        return _Chosen(who, self._last - ((number >> 1) & ((1 << self._bits) - 1)), points, own)

    def _keep_best(self) -> None:
        held = self._numbers[:, : max(self._k, self._count.max(initial=0))]
        ordered = np.sort(held, axis=1)[:, : -self._k - 1 : -1]
        held[:] = _NONE
        held[:, : self._k] = ordered
        self._count = np.minimum(self._count, self._k)
        full = self._count == self._k
        least = ((ordered[full, -1] >> (self._bits + 1)) - 0.5) / _UNITS  # what is rounded to as much, and no less
        self.least[full] = np.nextafter(least.astype(np.float32), np.float32(-np.inf))


def _best(scores: _Scores, n: int, *, most: int | None) -> _Chosen:
    """Each user's n best products, of one category not more than `most`.

    First are looked at as many as are wanted, or half as many again where a category is limited, and only those above a
    guess, or those that an index finds; then, for the users whose list is not full of these, all.
    """
    size = len(scores.products.ids)
    looked = min(size + 1, n if most is None else int(_SPARE * n))  # with one more than there are, all are found
    rows, some = np.arange(len(scores)), scores
    if scores.products.nearest is None or not len(scores.factors):
        least = scores.guess(looked)
        found = _largest(some, looked, least=least)
    else:
        least = np.zeros(len(scores), dtype=np.float32)
        found = _near(some, looked, scores.products.nearest)
    parts = []
    while True:
        exhausted = (np.bincount(found.who, minlength=len(some)) < looked) & (least == -np.inf)
        if most is not None:
            found = _thinned(found, n, category=scores.products.category, most=most)
        done = exhausted | (np.bincount(found.who, minlength=len(some)) >= n)
        found = found[done[found.who]]
        parts.append(replace(found, who=rows[found.who]))
        if done.all():
            return _Chosen.merged(parts)
        looked = looked if most is None else min(size + 1, looked * _FURTHER)
        rows = rows[~done]
        some, least = scores.some(rows), np.full(len(rows), -np.inf, dtype=np.float32)
        found = _largest(some, looked, least=least)


def _largest(scores: _Scores, k: int, *, least: Floats) -> _Chosen:
    """Each user's k best products; new ones only where their score is at least `least`."""
    size = len(scores.products.ids)
    held = _Held(len(scores), k, size=size, own_first=scores.rule.mode == "replenish")
    room = np.empty(len(scores) * min(size, _STRIP), dtype=np.float32)
    for begin in range(0, size, _STRIP):
        scores.add_strip(begin, min(size, begin + _STRIP), least=least, held=held, room=room)
    return held.best()


def _near(scores: _Scores, k: int, nearest: Nearest) -> _Chosen:
    """Each user's k best of what he bought and of those that an index finds; of users without factors none."""
    size = len(scores.products.ids)
    held = _Held(len(scores), k, size=size, own_first=scores.rule.mode == "replenish")
    row, column = scores.row, scores.column
    known = scores.known[row]
    order = np.flatnonzero(known)[np.argsort(row[known], kind="stable")]
    row, column, bonus = row[order], scores.products.strips.places[column[order]], scores.bonus[order]
    if scores.rule.mode != "discover":
        held.add(row, column, scores.of_pairs(row, column) + bonus, own=True)
    which, points = nearest(scores.factors, k)
    who = np.repeat(np.flatnonzero(scores.known), which.shape[1])
    which, points = which.ravel(), points.ravel()
    fits = (which >= 0) & ~np.isin(who * size + which, row * size + column)
    if scores.low is not None and scores.high is not None:
        price = scores.products.price[which]
        fits &= ~((price < scores.low[who]) | (price > scores.high[who]))
    held.add(who[fits], which[fits], points[fits], own=False)
    return held.best()


def _thinned(found: _Chosen, n: int, *, category: Ints, most: int) -> _Chosen:
    """Of each user's the first `most` of a category, and n of those."""
    size = len(found.who)
    groups = found.who * (category.max(initial=0) + 1) + category[found.which]
    codes = np.sort(groups * size + np.arange(size))  # of whole numbers that differ: many times as fast as argsort
    place = np.empty(size, dtype=np.int64)
    ends = np.flatnonzero(np.diff(codes // size, append=-1))
    place[codes % size] = rank_within(np.diff(ends, prepend=-1))
    found = found[place < most]
    return found[rank_within(np.bincount(found.who)) < n]


def rank_within(counts: Ints) -> Ints:
    """0 to count − 1 for each count, one after the other."""
    return np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)


def usual_price(row: Ints, prices: Floats, users: int) -> Floats:
    """The mean price of what each user bought; NaN where there is none."""
    priced = ~np.isnan(prices)
    total = np.bincount(row[priced], weights=prices[priced], minlength=users)
    count = np.bincount(row[priced], minlength=users)
    return np.where(count > 0, total / np.maximum(count, 1), np.nan).astype(np.float32)


def matrix(lists: pa.ChunkedArray, rows: int) -> Floats:
    """A column of equally long lists as a matrix."""
    flat = lists.combine_chunks().flatten().to_numpy(zero_copy_only=False)
    return flat.astype(np.float32).reshape(rows, -1) if rows else np.empty((0, 0), dtype=np.float32)
