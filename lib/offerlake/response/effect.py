"""The effect of many offers against nothing: one partially linear model, pooled over arms, cross-fitted by user.

With A the arm a row got, x its user, φ(x, a) the products of `design` (0 for nothing) and τ(x, a) = φ(x, a)·β:

    responded − p_no_offer(x) = period + γ·U(x) + φ(x, A)·β + noise,        weights π(A) / e(A | x)

p_no_offer comes from response models that did not see the user (Robinson 1988; Nie and Wager 2021). The weights are
stabilised inverse propensities: with them the arm is independent of x, so that period and U, linear, take out all that
φ has in common with the user. Each block of β is shrunk by the marginal likelihood (`evidence.fit`).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from pyspark.sql import DataFrame

from offerlake.response.design import Design
from offerlake.response.evidence import Fit, Sums, fit
from offerlake.response.features import ONE_ROW, Numbers, in_order, one_row

_SPREAD = 0.01  # a point of probability: where the search for the priors begins
_SURE = 1.96


@dataclass(frozen=True)
class Slope:
    """Regression of held-out outcomes on what other users' model said of them: 1 is right, 0 is noise."""

    value: float
    error: float

    @property
    def share(self) -> float:
        """How much of the prediction is handed on: the slope within 0 and 1, nothing where its interval has 0 in it."""
        return 0.0 if self.value - _SURE * self.error <= 0 else min(self.value, 1.0)

    def as_list(self) -> list[float | None]:
        """Value and error as JSON's own types; an error without limit is null."""
        return [self.value, self.error if np.isfinite(self.error) else None]

    @staticmethod
    def of(content: Sequence[float | None]) -> Slope:
        """Reads what `as_list` gave."""
        value, error = content
        return Slope(float(value or 0.0), float("inf") if error is None else error)


@dataclass(frozen=True)
class Effect:
    """The fitted effect.

    Attributes:
        coefficients: One array a fold, from users outside it, in the order of `Design.products`; shrunk by the slopes.
        averages: Slope of the arms' averages on held-out users.
        deviations: Slope of the users' deviations from them.
        spreads: Prior standard deviation of each block, of the first fold.
    """

    coefficients: tuple[Numbers, ...]
    averages: Slope
    deviations: Slope
    spreads: dict[str, float]

    def as_dict(self) -> dict[str, Any]:
        """As JSON's own types."""
        return {
            "coefficients": [[float(value) for value in part] for part in self.coefficients],
            "averages": self.averages.as_list(),
            "deviations": self.deviations.as_list(),
            "spreads": self.spreads,
        }

    @staticmethod
    def of(content: dict[str, Any]) -> Effect:
        """Reads what `as_dict` gave."""
        return Effect(
            coefficients=tuple(np.array(part) for part in content["coefficients"]),
            averages=Slope.of(content["averages"]),
            deviations=Slope.of(content["deviations"]),
            spreads=content["spreads"],
        )


def sums_by_fold(rows: DataFrame, design: Design, *, periods: int, folds: int) -> list[Sums]:
    """One pass over the rows: the sums of each fold, of the columns period, U and φ in this order.

    Args:
        rows: `row` (`design.row_content`), `outcome` (responded − p_no_offer), `weight`, `fold` and `period` (from 0).
        design: The design.
        periods: Number of periods.
        folds: Number of folds.
    """

    def partial(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        found: dict[int, Sums] = {}
        for batch in batches:
            users = design.users(batch.column("row"))
            terms = design.offer_terms(batch.column("row"))
            period = np.asarray(batch.column("period"))[:, None] == np.arange(periods)
            columns = np.hstack([period.astype(float), users, design.products(users, terms)])
            outcome, weight, fold = (np.asarray(batch.column(name)) for name in ("outcome", "weight", "fold"))
            for number in np.unique(fold):
                at = fold == number
                part = Sums.of(columns[at], outcome[at], weight[at])
                found[int(number)] = found[int(number)] + part if int(number) in found else part
        if found:
            yield one_row(found)

    kept = rows.select("row", "outcome", "weight", "fold", "period")
    parts = kept.mapInArrow(partial, ONE_ROW).collect()
    width = periods + len(design.numbers) + sum(design.widths)
    totals = [Sums(np.zeros((width, width)), np.zeros(width), 0.0, 0) for _ in range(folds)]
    for content in in_order(parts):
        for number, part in content.items():
            totals[number] = totals[number] + part
    return totals


def fit_effect(sums: Sequence[Sums], design: Design, *, periods: int) -> Effect:
    """Fits the effect for each fold on the users of the others, and shrinks it by what held-out users confirm.

    Beside the whole model, one with the arms' averages alone is fitted. On the held-out fold the outcome is regressed
    on the average and on the deviation from it (the best linear predictor of Chernozhukov et al. 2018): where a
    slope's interval includes 0 the part is dropped, below 1 it is drawn in.

    Args:
        sums: One a fold, as `sums_by_fold` gives them.
        design: The design.
        periods: Number of periods.
    """
    nuisance = periods + len(design.numbers)
    widths = design.widths
    averaged = np.concatenate(
        [np.full(width, _averaged(b.name)) for b, width in zip(design.blocks, widths, strict=True)]
    )
    kept = [width for b, width in zip(design.blocks, widths, strict=True) if _averaged(b.name)]
    whole: list[Fit] = []
    averages: list[Numbers] = []
    gram, moment, square, rows = np.zeros((2, 2)), np.zeros(2), 0.0, 0
    for number in range(len(sums)):
        others = [part for other, part in enumerate(sums) if other != number]
        teaching = _added(others).without_first(nuisance)
        whole.append(fit(teaching, widths, spread=_SPREAD))
        some = Sums(
            teaching.gram[np.ix_(averaged, averaged)], teaching.moment[averaged], teaching.square, teaching.rows
        )
        averages.append(np.zeros(len(averaged)))
        averages[-1][averaged] = fit(some, kept, spread=_SPREAD).coefficients
        both = np.column_stack([averages[-1], whole[-1].coefficients - averages[-1]])
        held_out = sums[number].without_first(nuisance)
        gram += both.T @ held_out.gram @ both
        moment += both.T @ held_out.moment
        square, rows = square + held_out.square, rows + held_out.rows
    slopes = _slopes(gram, moment, variance=square / max(rows, 1))
    coefficients = tuple(
        slopes[0].share * average + slopes[1].share * (full.coefficients - average)
        for full, average in zip(whole, averages, strict=True)
    )
    spreads = {block.name: float(value) for block, value in zip(design.blocks, whole[0].spreads, strict=True)}
    return Effect(coefficients, averages=slopes[0], deviations=slopes[1], spreads=spreads)


def _averaged(block: str) -> bool:
    """True for the blocks that make up the arms' averages."""
    return block in ("contact", "dose", "kind", "offer")


def _added(parts: Sequence[Sums]) -> Sums:
    total = parts[0]
    for part in parts[1:]:
        total = total + part
    return total


def _slopes(gram: Numbers, moment: Numbers, *, variance: float) -> tuple[Slope, Slope]:
    """Regression of the outcome on two predictions; one that is 0 everywhere has slope 0 ± infinity."""
    there = np.diag(gram) > 1e-12
    values, errors = np.zeros(2), np.full(2, np.inf)
    if there.any():
        inverse = np.linalg.pinv(gram[np.ix_(there, there)])
        values[there] = inverse @ moment[there]
        errors[there] = np.sqrt(np.maximum(np.diag(inverse) * variance, 0))
    return Slope(float(values[0]), float(errors[0])), Slope(float(values[1]), float(errors[1]))
