"""What the effect of an offer may depend on: the user's numbers, the offer's terms, and products of the two.

A row is described by U, the user's standardised numbers, and B, a few functions of the offer and of what it is to the
user. The effect is linear in blocks of products: B alone, or B times every number in U. All of it is NumPy on Arrow
batches, the same in training and in scoring.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from offerlake.config import UpliftSettings
from offerlake.errors import DataError
from offerlake.response.features import ONE_ROW, USER_NUMBERS, Numbers, in_order, matrix, numbers_of, one_row, squeeze

BASE = "p_no_offer"
_TERMS = ("discount_rate", "fixed_cost", "scoped", "kind_affinity", "scope_affinity", "typical_order_value")
_NAMED = (
    "contact", "dose", "liking", "scope",
    "dose·liking", "dose·liking²", "dose·scope", "dose·scoped", "dose·liking·scope",
)  # fmt: skip
_PLACES = {name: place for place, name in enumerate((*USER_NUMBERS, BASE))}
_FLAT = 1e-6
_CLIP = 4.0  # standard deviations: an outlier may not move the effect
_TINY = 1e-6
Scaling = tuple[float, float]


@dataclass(frozen=True)
class Block:
    """A set of coefficients that share one prior variance: columns of B, alone or times every number of the user."""

    name: str
    terms: tuple[str, ...]
    users: bool


@dataclass(frozen=True)
class Design:
    """How rows become numbers.

    Attributes:
        numbers: User number (or `BASE`) to mean and scale after squeezing (`BASE`: after log-odds).
        likings: Kind of offer to mean and scale of `kind_affinity`, squeezed, on rows with that kind.
        scope: Mean and scale of `scope_affinity` on rows with a scope.
        typical: Stands in for a missing `typical_order_value`.
        offers: Offers with a deviation of their own.
        dose_scale: Section `uplift`.
    """

    numbers: dict[str, Scaling]
    likings: dict[str, Scaling]
    scope: Scaling
    typical: float
    offers: tuple[str, ...]
    dose_scale: float

    @property
    def terms(self) -> tuple[str, ...]:
        """Names of the columns of B.

        contact: 1 with an offer. dose: 1 − exp(−rate / dose_scale), rate = discount_rate + fixed cost of a use over the
        user's typical order value. liking: kind_affinity, standardised within the kind. scope: scope_affinity,
        standardised, 0 for offers for everything. scoped: 1 for the others. Then one a kind and one an offer.
        """
        return (*_NAMED, *[f"kind={kind}" for kind in self.likings], *[f"offer={offer}" for offer in self.offers])

    @property
    def blocks(self) -> tuple[Block, ...]:
        """The blocks of the effect model; those without users come first."""
        crossed = ("contact", "dose", "dose·liking", "dose·scope")
        return (
            *[Block(name, (name,), users=False) for name in _NAMED],
            Block("kind", tuple(f"kind={kind}" for kind in self.likings), users=False),
            Block("offer", tuple(f"offer={offer}" for offer in self.offers), users=False),
            *[Block(f"{name} × user", (name,), users=True) for name in crossed],
        )

    @property
    def widths(self) -> list[int]:
        """Coefficients of each block."""
        return [len(block.terms) * (len(self.numbers) if block.users else 1) for block in self.blocks]

    @property
    def crossed(self) -> int:
        """Number of blocks with users: columns of `user_effects`."""
        return sum(block.users for block in self.blocks)

    def users(self, batch: pa.StructArray) -> Numbers:
        """U (rows, numbers): standardised, a missing one 0, within ±`_CLIP`."""
        x = users_of(batch)[:, [_PLACES[name] for name in self.numbers]]
        means, scales = np.array(list(self.numbers.values())).reshape(-1, 2).T
        standardised: Numbers = np.clip(np.nan_to_num((x - means) / scales), -_CLIP, _CLIP)
        return standardised

    def offer_terms(self, batch: pa.StructArray) -> Numbers:
        """B (rows, terms), all 0 for rows without an offer."""
        t = matrix(batch.field("t"), len(_TERMS))
        kind, offer = (codes(batch.field("kind"), tuple(self.likings)), codes(batch.field("offer_id"), self.offers))
        sent = ~pc.equal(batch.field("kind"), "none").to_numpy(zero_copy_only=False).astype(bool)
        result = np.zeros((len(t), len(self.terms)))
        scoped = t[:, 2] == 1
        rate = np.nan_to_num(t[:, 0]) + np.nan_to_num(t[:, 1]) / self.typical_value(batch)
        dose = 1 - np.exp(-rate / self.dose_scale)
        means, scales = np.array([*self.likings.values(), (0.0, 1.0)]).T
        liking = np.clip(np.nan_to_num((squeeze(t[:, 3]) - means[kind]) / scales[kind]), -_CLIP, _CLIP)
        liking[kind < 0] = 0
        scope = np.where(scoped, np.clip(np.nan_to_num((t[:, 4] - self.scope[0]) / self.scope[1]), -_CLIP, _CLIP), 0)
        both = liking * scope
        result[:, : len(_NAMED)] = np.column_stack(
            [
                *(np.ones(len(t)), dose, liking, scope),
                *(dose * part for part in (liking, liking**2, scope, scoped, both)),
            ]
        )
        rows = np.arange(len(t))
        first = len(_NAMED)
        result[rows[kind >= 0], first + kind[kind >= 0]] = 1
        result[rows[offer >= 0], first + len(self.likings) + offer[offer >= 0]] = 1
        return np.where(sent[:, None], result, 0)

    def typical_value(self, batch: pa.StructArray) -> Numbers:
        """The user's typical order value in money (rows,), above 0."""
        value = matrix(batch.field("t"), len(_TERMS))[:, 5]
        return np.where(np.isfinite(value) & (value > 0), value, self.typical)

    def face_value(self, batch: pa.StructArray, order_value: Numbers) -> Numbers:
        """The face value of one use in money (rows,): discount_rate × order value + fixed cost."""
        t = np.nan_to_num(matrix(batch.field("t"), len(_TERMS)))
        return t[:, 0] * order_value + t[:, 1]

    def redemption_cost(self, batch: pa.StructArray) -> Numbers:
        """What a use costs beside what it takes off, in money (rows,)."""
        return np.nan_to_num(matrix(batch.field("t"), len(_TERMS))[:, 1])

    def products(self, users: Numbers, terms: Numbers) -> Numbers:
        """Z (rows, coefficients): all blocks side by side."""
        at = {name: place for place, name in enumerate(self.terms)}
        parts = []
        for block in self.blocks:
            for name in block.terms:
                column = terms[:, at[name]][:, None]
                parts.append(column * users if block.users else column)
        return np.hstack(parts)

    def user_effects(self, users: Numbers, coefficients: Numbers) -> Numbers:
        """Of each block with users, what the users' numbers make of its term: (rows, such blocks)."""
        return users @ np.column_stack([part for block, part in self._parts(coefficients) if block.users])

    def effect(self, user_effects: Numbers, terms: Numbers, coefficients: Numbers) -> Numbers:
        """Z · coefficients (rows,), without making Z, from `user_effects` and `offer_terms`."""
        at = {name: place for place, name in enumerate(self.terms)}
        result, crossed = np.zeros(len(terms)), 0
        for block, part in self._parts(coefficients):
            columns = [at[name] for name in block.terms]
            if block.users:
                result += terms[:, columns[0]] * user_effects[:, crossed]
                crossed += 1
            else:
                result += terms[:, columns] @ part
        return result

    def _parts(self, coefficients: Numbers) -> list[tuple[Block, Numbers]]:
        return list(zip(self.blocks, np.split(coefficients, np.cumsum(self.widths)[:-1]), strict=True))

    def as_dict(self) -> dict[str, Any]:
        """As JSON's own types."""
        return asdict(self)

    @staticmethod
    def of(content: dict[str, Any]) -> Design:
        """Reads what `as_dict` gave."""
        return Design(
            numbers={name: (mean, scale) for name, (mean, scale) in content["numbers"].items()},
            likings={name: (mean, scale) for name, (mean, scale) in content["likings"].items()},
            scope=(content["scope"][0], content["scope"][1]),
            typical=content["typical"],
            offers=tuple(content["offers"]),
            dose_scale=content["dose_scale"],
        )


def row_content() -> Column:
    """What a design reads of a row with `USER_NUMBERS`, `BASE` (null: not known) and the offer's context: a struct."""
    return F.struct(numbers_of(tuple(_PLACES)).alias("x"), *_offer_fields())


def user_content() -> Column:
    """The part of it that is the user's, of a row without an offer's context."""
    own = [F.col(name) if name == "typical_order_value" else F.lit(None) for name in _TERMS]
    return F.struct(numbers_of(tuple(_PLACES)).alias("x"), F.array(*[value.cast("double") for value in own]).alias("t"))


def offer_content() -> Column:
    """The part of it that is the offer's: enough for `Design.offer_terms` and what is made of it."""
    return F.struct(*_offer_fields())


def _offer_fields() -> list[Column]:
    return [numbers_of(_TERMS).alias("t"), F.col("kind").alias("kind"), F.col("offer_id").alias("offer_id")]


def users_of(batch: pa.StructArray) -> Numbers:
    """All numbers of the users (rows, numbers), squeezed; `BASE`, the last, as log-odds; NaN where missing."""
    raw = matrix(batch.field("x"), len(_PLACES))
    x = squeeze(raw)
    x[:, -1] = log_odds_of(raw[:, -1])
    return x


def learn_design(rows: DataFrame, *, settings: UpliftSettings) -> Design:
    """Finds means and scales in one pass; numbers that never change are left out.

    Args:
        rows: `row` (see `row_content`), in partitions and an order that depend on keys only.
        settings: Section `uplift`.

    Raises:
        DataError: There are no rows.
    """
    parts = in_order(rows.select("row").mapInArrow(_moments, ONE_ROW).collect())
    found: dict[str, Numbers] = {}
    for part in parts:
        for name, sums in part["sums"].items():
            found[name] = found.get(name, np.zeros_like(sums)) + sums
    if "users" not in found:
        raise DataError("examples: no rows to learn from", fix="Widen the period, or run build_examples first.")
    users = _scalings(found["users"])
    likings = {name.removeprefix("kind="): _scalings(found[name])[0] for name in sorted(found) if name[:5] == "kind="}
    scope, typical = (_scalings(found[name])[0] if name in found else (0.0, 1.0) for name in ("scope", "typical"))
    return Design(
        numbers={name: users[place] for name, place in _PLACES.items() if users[place][1] > _FLAT},
        likings={kind: (mean, scale if scale > _FLAT else 1.0) for kind, (mean, scale) in likings.items()},
        scope=(scope[0], scope[1] if scope[1] > _FLAT else 1.0),
        typical=typical[0] if typical[0] > 0 else 1.0,
        offers=tuple(sorted(set().union(*[part["offers"] for part in parts]))),
        dose_scale=settings.dose_scale,
    )


def _moments(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """Count, sum and sum of squares (3, numbers): of users, liking by kind, scope affinity and typical value."""
    sums: dict[str, Numbers] = {}
    offers: set[str] = set()
    for batch in batches:
        content = batch.column("row")
        t, kind = matrix(content.field("t"), len(_TERMS)), content.field("kind").to_numpy(zero_copy_only=False)
        sent = kind != "none"
        offers.update(content.field("offer_id").filter(pa.array(sent)).drop_null().unique().to_pylist())
        scoped = sent & (t[:, _TERMS.index("scoped")] == 1)
        parts = {
            "users": users_of(content),
            "scope": t[scoped][:, [_TERMS.index("scope_affinity")]],
            "typical": t[:, [_TERMS.index("typical_order_value")]],
        }
        for name in np.unique(kind[sent].astype(str)):
            parts[f"kind={name}"] = squeeze(t[kind == name][:, [_TERMS.index("kind_affinity")]])
        for name, part in parts.items():
            there = np.isfinite(part)
            inside = np.where(there, part, 0)
            new = np.stack([there.sum(axis=0), inside.sum(axis=0), (inside**2).sum(axis=0)])
            sums[name] = sums.get(name, np.zeros_like(new)) + new
    if sums:
        yield one_row({"sums": sums, "offers": offers})


def _scalings(sums: Numbers) -> list[Scaling]:
    count, total, squares = sums
    mean = total / np.maximum(count, 1)
    spread = np.sqrt(np.maximum(squares / np.maximum(count, 1) - mean**2, 0))
    return [(float(m), float(s)) for m, s in zip(mean, spread, strict=True)]


def log_odds_of(p: Numbers) -> Numbers:
    """log(p / (1 − p)), with p held off 0 and 1."""
    inside = np.clip(p, _TINY, 1 - _TINY)
    return np.log(inside / (1 - inside))


def codes(column: pa.StringArray, values: tuple[str, ...]) -> npt.NDArray[np.int64]:
    """The place of each string in `values` (rows,); −1 for others and for null."""
    found = pc.index_in(column, value_set=pa.array(values, pa.string()))
    return np.asarray(pc.fill_null(found, -1)).astype(np.int64)
