"""What an order brings and what a use costs: order margin by user, cost and chance of a use by offer."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, astuple, dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from offerlake.errors import DataError
from offerlake.response.design import Design
from offerlake.response.evidence import Sums, fit
from offerlake.response.features import ONE_ROW, Numbers, in_order, one_row

_FEWEST = 50  # rows to learn an order's margin from
_RATE_PRIOR = 20.0  # buyers: how firmly an offer's share of users is drawn to its kind's
_SLOPE_PRIOR = 50.0  # buyers with an offer for a part of the shop: how firmly the slope below is drawn to 0
_LEAST_RATE = 0.1  # of an offer's rate: however little a user likes what is in scope, he may use it
_COST_PRIOR = 0.3  # standard deviation of an offer's true cost over its face value, around 1


@dataclass(frozen=True)
class Uses:
    """Of buyers who had an offer: how many used it, and what a use cost over its face value.

    Attributes:
        rate: P(uses the offer | buys, has it), of a buyer with scope affinity `middle`.
        factor: Loss of margin by a use over its face value (`Design.face_value`).
        loss: Loss of margin by a use in money, where the offer has no face value.
        slope: How much the rate rises by a standard deviation of scope affinity: who likes what is in scope buys it.
        middle: Mean standardised scope affinity of those buyers; 0 for offers for everything.
    """

    rate: float
    factor: float
    loss: float
    slope: float = 0.0
    middle: float = 0.0


@dataclass(frozen=True)
class Worth:
    """Money of a pair, for one fold: learnt from users outside it.

    Attributes:
        margin: Coefficients of the margin of an order at full price: constant, typical order value, then U.
        value: The same of its net amount.
        mean_margin: Mean margin; predictions are held within 0.1 and 10 times it.
        mean_value: Likewise.
        uses: By offer id, by `kind=<kind>` for offers not seen, and `` for the rest.
    """

    margin: tuple[float, ...]
    value: tuple[float, ...]
    mean_margin: float
    mean_value: float
    uses: dict[str, Uses]

    def order(self, design: Design, batch: pa.StructArray, users: Numbers) -> tuple[Numbers, Numbers]:
        """Margin and net amount of an order at full price, in money, (rows,) each; `users` is `design.users(batch)`."""
        columns = order_columns(design, batch, users)
        return (
            _held(columns @ np.array(self.margin), self.mean_margin),
            _held(columns @ np.array(self.value), self.mean_value),
        )

    def use(
        self, design: Design, batch: pa.StructArray, terms: Numbers, order_value: Numbers
    ) -> tuple[Numbers, Numbers]:
        """P(uses the offer | buys) and the cost of one use in money, (rows,) each; 0 for rows without an offer.

        `terms` is `design.offer_terms(batch)`.
        """
        named = pc.binary_join_element_wise(batch.field("kind"), pc.fill_null(batch.field("offer_id"), ""), "\n")
        pairs = named.dictionary_encode()
        found = [self._uses(*pair.split("\n")) for pair in pairs.dictionary.to_pylist()]
        place = np.asarray(pairs.indices)
        rate, factor, loss, slope, middle = np.array([astuple(item) for item in found]).reshape(-1, 5).T[:, place]
        rate = np.clip(rate + slope * (_scope_of(design, terms) - middle), _LEAST_RATE * rate, 1)
        face = design.face_value(batch, order_value)
        sent = ~np.asarray(pc.equal(batch.field("kind"), "none").to_numpy(zero_copy_only=False), dtype=bool)
        return np.where(sent, rate, 0), np.where(sent, np.where(face > 0, factor * face, loss), 0)

    def _uses(self, kind: str, offer: str) -> Uses:
        return self.uses.get(offer) or self.uses.get(f"kind={kind}") or self.uses[""]

    def as_dict(self) -> dict[str, Any]:
        """As JSON's own types."""
        return asdict(self)

    @staticmethod
    def of(content: dict[str, Any]) -> Worth:
        """Reads what `as_dict` gave."""
        uses = {name: Uses(**item) for name, item in content["uses"].items()}
        return Worth(
            tuple(content["margin"]), tuple(content["value"]), content["mean_margin"], content["mean_value"], uses
        )


def _scope_of(design: Design, terms: Numbers) -> Numbers:
    """Standardised scope affinity (rows,), of `design.offer_terms`; 0 for offers for everything."""
    return terms[:, design.terms.index("scope")]


def _held(value: Numbers, mean: float) -> Numbers:
    low, high = sorted((0.1 * mean, 10 * mean))
    return np.clip(value, low, high)


def order_columns(design: Design, batch: pa.StructArray, users: Numbers) -> Numbers:
    """Constant, typical order value over the mean one, U: (rows, 2 + numbers)."""
    typical = design.typical_value(batch) / design.typical
    return np.column_stack([np.ones(len(batch)), np.minimum(typical, 10), users])


def fit_worth(buyers: DataFrame, design: Design, *, folds: int) -> tuple[Worth, ...]:
    """Learns, for each fold from the users of the others, what an order brings and what a use costs.

    Margin at full price: ridge regression on buyers without an offer; where there are too few, on those who used none.
    Cost of a use: what it took off, and the offer's cost per redemption, as a share of the face value, drawn to 1; as
    money where there is none, not below 0. Where nobody noted what it took off: how far the margin lies below the
    predicted one, which is too low for offers that the larger baskets use. Share of uses: drawn to the kind's; with
    scope affinity it rises by one slope for all offers, a regression within offers.

    Args:
        buyers: Rows with `responded` = 1: `row` (`design.row_content`), `fold`, `treatment`, `redeemed`, `use_value`,
            `net_value` and `gross_margin` (margin plus the contact cost).
        design: The design.
        folds: Number of folds.

    Raises:
        DataError: Fewer than 50 buyers are there to learn from outside some fold.
    """
    plain = buyers.where((F.col("treatment") == 0) & (F.col("redeemed") == 0))
    sums = _order_sums(plain, design, folds=folds)
    if min(sum(s[0].rows for k, s in enumerate(sums) if k != fold) for fold in range(folds)) < _FEWEST:
        sums = _order_sums(buyers.where(F.col("redeemed") == 0), design, folds=folds)
    orders = []
    for fold in range(folds):
        others = [part for number, part in enumerate(sums) if number != fold]
        rows = sum(part[0].rows for part in others)
        if rows < _FEWEST:
            raise DataError(
                f"examples: {rows} buyers outside fold {fold} to learn an order's margin from",
                fix=f"At least {_FEWEST} are needed: give more users or days, or set response.folds lower.",
            )
        orders.append(tuple(_fitted([part[place] for part in others]) for place in (0, 1)))
    blank = {"": Uses(rate=1.0, factor=1.0, loss=0.0)}
    worths = [Worth(margin=m[0], value=v[0], mean_margin=m[1], mean_value=v[1], uses=blank) for m, v in orders]
    counted = _use_sums(buyers.where(F.col("treatment") == 1), design, worths)
    return tuple(
        Worth(w.margin, w.value, w.mean_margin, w.mean_value, _uses([c for k, c in enumerate(counted) if k != fold]))
        for fold, w in enumerate(worths)
    )


def _order_sums(rows: DataFrame, design: Design, *, folds: int) -> list[tuple[Sums, Sums]]:
    width = 2 + len(design.numbers)

    def partial(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        found: dict[int, tuple[Sums, Sums]] = {}
        for batch in batches:
            row, fold = batch.column("row"), np.asarray(batch.column("fold"))
            columns = order_columns(design, row, design.users(row))
            outcomes = [np.asarray(batch.column(name)) for name in ("gross_margin", "net_value")]
            for number in np.unique(fold):
                at = fold == number
                one = np.ones(int(at.sum()))
                margin, value = (Sums.of(columns[at], outcome[at], one) for outcome in outcomes)
                before = found.get(int(number))
                found[int(number)] = (before[0] + margin, before[1] + value) if before else (margin, value)
        if found:
            yield one_row(found)

    kept = rows.select("row", "fold", "gross_margin", "net_value")
    zero = Sums(np.zeros((width, width)), np.zeros(width), 0.0, 0)
    totals = [(zero, zero) for _ in range(folds)]
    parts = kept.mapInArrow(partial, ONE_ROW).collect()
    for content in in_order(parts):
        for number, (margin, value) in content.items():
            totals[number] = (totals[number][0] + margin, totals[number][1] + value)
    return totals


def _fitted(parts: list[Sums]) -> tuple[tuple[float, ...], float]:
    """Coefficients with the constant first, and the mean outcome."""
    total = parts[0]
    for part in parts[1:]:
        total = total + part
    rest = total.without_first(1)
    mean = float(total.moment[0] / total.gram[0, 0])
    found = fit(rest, [1, len(rest.moment) - 1], spread=max(abs(mean), 1e-6))
    constant = mean - float(total.gram[0, 1:] @ found.coefficients) / total.gram[0, 0]
    return (constant, *(float(value) for value in found.coefficients)), mean


_Counts = dict[str, Numbers]
"""Offer (`kind`, newline, offer id) to buyers, uses, of the uses Σ face, Σ loss, Σ loss², and of buyers Σ s, Σ s²,
Σ s·used with s the scope affinity."""
_SUMS = 8


def _use_sums(rows: DataFrame, design: Design, worths: list[Worth]) -> list[_Counts]:
    def partial(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        found: dict[tuple[int, str], Numbers] = {}
        for batch in batches:
            fold, row = np.asarray(batch.column("fold")), batch.column("row")
            pair = pc.binary_join_element_wise(row.field("kind"), row.field("offer_id"), "\n")
            names = pair.to_numpy(zero_copy_only=False).astype(str)
            used, got, off = (np.asarray(batch.column(name)) for name in ("redeemed", "gross_margin", "use_value"))
            users, scope = design.users(row), _scope_of(design, design.offer_terms(row))
            for number in np.unique(fold):
                margin, value = worths[int(number)].order(design, row, users)
                face = design.face_value(row, value)
                loss = np.where(np.isnan(off), margin - got, off + design.redemption_cost(row))
                for name in np.unique(names[fold == number]):
                    buyers = (fold == number) & (names == name)
                    uses = buyers & (used == 1)
                    sums = [buyers.sum(), uses.sum(), face[uses].sum(), loss[uses].sum(), (loss[uses] ** 2).sum()]
                    sums += [scope[buyers].sum(), (scope[buyers] ** 2).sum(), scope[uses].sum()]
                    key = (int(number), str(name))
                    found[key] = found.get(key, np.zeros(_SUMS)) + np.array(sums, dtype=float)
        if found:
            yield one_row(found)

    kept = rows.select("row", "fold", "redeemed", "gross_margin", "use_value")
    totals: list[_Counts] = [{} for _ in worths]
    parts = kept.mapInArrow(partial, ONE_ROW).collect()
    for content in in_order(parts):
        for (number, name), sums in content.items():
            totals[number][name] = totals[number].get(name, np.zeros(_SUMS)) + sums
    return totals


def _uses(counts: list[_Counts]) -> dict[str, Uses]:
    by_offer: _Counts = {}
    by_kind: _Counts = {"": np.zeros(_SUMS)}
    for part in counts:
        for name, sums in part.items():
            kind = name.split("\n")[0]
            by_offer[name] = by_offer.get(name, np.zeros(_SUMS)) + sums
            by_kind[f"kind={kind}"] = by_kind.get(f"kind={kind}", np.zeros(_SUMS)) + sums
            by_kind[""] = by_kind[""] + sums
    slope = _scope_slope(by_offer)
    everything = _use(by_kind[""], prior=Uses(rate=0.5, factor=1.0, loss=0.0), slope=slope)
    kinds = {name: _use(sums, prior=everything, slope=slope) for name, sums in by_kind.items() if name}
    offers = {
        name.split("\n")[1]: _use(sums, prior=kinds["kind=" + name.split("\n")[0]], slope=slope)
        for name, sums in by_offer.items()
    }
    return {"": everything} | kinds | offers


def _scope_slope(by_offer: _Counts) -> float:
    """Least squares of used on scope affinity, each less its mean in the offer; a little drawn to 0."""
    sums = np.array([*by_offer.values(), np.zeros(_SUMS)])
    buyers, uses, scope, square, both = sums[:, [0, 1, 5, 6, 7]].T
    spread = (square - scope**2 / np.maximum(buyers, 1)).sum()
    return float((both - scope * uses / np.maximum(buyers, 1)).sum() / (spread + _SLOPE_PRIOR))


def _use(sums: Numbers, *, prior: Uses, slope: float) -> Uses:
    """Of one offer or kind; its rate, and the affinity at which that holds, are drawn to `prior`'s."""
    buyers, uses, face, loss, square, scope, scope_square, _ = (float(value) for value in sums)
    factor, money = 1.0, 0.0
    if uses >= 2:
        mean = loss / uses
        error = np.sqrt(max(square / uses - mean**2, 1e-12) / uses)
        if face > 0:
            spread = error * uses / face
            weight = _COST_PRIOR**2 / (_COST_PRIOR**2 + spread**2)
            factor = float(np.clip(1 + weight * (loss / face - 1), 0.2, 3))
        else:
            money = max(mean - error, 0.0) if mean > 0 else 0.0
    return Uses(
        rate=(uses + _RATE_PRIOR * prior.rate) / (buyers + _RATE_PRIOR),
        factor=factor,
        loss=float(money),
        slope=slope,
        middle=(scope + _RATE_PRIOR * prior.middle) / (buyers + _RATE_PRIOR) if scope_square > 0 else 0.0,
    )
