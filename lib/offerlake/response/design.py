"""What the effect of an offer may depend on: the user's numbers, the offer's terms, and products of the two.

A row is described by U, the user's standardised numbers, and B, a few functions of the offer and of what it is to the
user. The effect is linear in blocks of products: B alone, or B times every number in U. All of it is NumPy on Arrow
batches, the same in training and in scoring.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
from pyspark.sql import Column
from pyspark.sql import functions as F

from offerlake.response.features import Numbers, matrix, numbers_of, squeeze

BASE = "p_no_offer"
_TERMS = ("discount_rate", "fixed_cost", "scoped", "kind_affinity", "scope_affinity", "typical_order_value")
_NAMED = (
    "contact", "dose", "liking", "scope",
    "dose·liking", "dose·liking²", "dose·scope", "dose·scoped", "dose·liking·scope",
)  # fmt: skip
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

    def row(self) -> Column:
        """The row's content that `users` and `offers_of` read, as a struct."""
        return F.struct(
            numbers_of(tuple(self.numbers)).alias("x"),
            numbers_of(_TERMS).alias("t"),
            F.col("kind").alias("kind"),
            F.col("offer_id").alias("offer_id"),
        )

    def users(self, batch: pa.StructArray) -> Numbers:
        """U (rows, numbers): standardised, a missing one 0, within ±`_CLIP`."""
        raw = matrix(batch.field("x"), len(self.numbers))
        x = squeeze(raw)
        if BASE in self.numbers:
            at = list(self.numbers).index(BASE)
            x[:, at] = log_odds_of(raw[:, at])
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

    def fixed_cost(self, batch: pa.StructArray, order_value: Numbers) -> Numbers:
        """The face value of one use in money (rows,): discount_rate × order value + fixed cost."""
        t = np.nan_to_num(matrix(batch.field("t"), len(_TERMS)))
        return t[:, 0] * order_value + t[:, 1]

    def products(self, users: Numbers, terms: Numbers) -> Numbers:
        """Z (rows, coefficients): all blocks side by side."""
        at = {name: place for place, name in enumerate(self.terms)}
        parts = []
        for block in self.blocks:
            for name in block.terms:
                column = terms[:, at[name]][:, None]
                parts.append(column * users if block.users else column)
        return np.hstack(parts)

    def effect(self, users: Numbers, terms: Numbers, coefficients: Numbers) -> Numbers:
        """Z · coefficients (rows,), without making Z."""
        at = {name: place for place, name in enumerate(self.terms)}
        result, place = np.zeros(len(users)), 0
        for block in self.blocks:
            for name in block.terms:
                width = users.shape[1] if block.users else 1
                part = coefficients[place : place + width]
                result += terms[:, at[name]] * (users @ part if block.users else part[0])
                place += width
        return result

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


def log_odds_of(p: Numbers) -> Numbers:
    """log(p / (1 − p)), with p held off 0 and 1."""
    inside = np.clip(p, _TINY, 1 - _TINY)
    return np.log(inside / (1 - inside))


def codes(column: pa.StringArray, values: tuple[str, ...]) -> npt.NDArray[np.int64]:
    """The place of each string in `values` (rows,); −1 for others and for null."""
    found = pc.index_in(column, value_set=pa.array(values, pa.string()))
    return np.asarray(pc.fill_null(found, -1)).astype(np.int64)
