"""Linear regression from sums alone, each block of coefficients shrunk by an amount that the data themselves choose."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from offerlake.response.features import Numbers

_MOST_PRECISE, _ROUNDS, _SETTLED = 1e12, 200, 1e-4


@dataclass(frozen=True)
class Sums:
    """What a least-squares fit needs: with weights w, columns A and outcome y.

    Attributes:
        gram: Aᵀ W A (columns, columns).
        moment: Aᵀ W y (columns,).
        square: yᵀ W y.
        rows: Number of rows.
    """

    gram: Numbers
    moment: Numbers
    square: float
    rows: int

    @staticmethod
    def of(columns: Numbers, outcome: Numbers, weights: Numbers) -> Sums:
        """The sums of some rows: columns (rows, columns), outcome and weights (rows,)."""
        weighted = columns * weights[:, None]
        return Sums(columns.T @ weighted, weighted.T @ outcome, float((weights * outcome**2).sum()), len(outcome))

    def __add__(self, other: Sums) -> Sums:
        return Sums(
            self.gram + other.gram, self.moment + other.moment, self.square + other.square, self.rows + other.rows
        )

    def without_first(self, count: int) -> Sums:
        """The sums after the first `count` columns have been regressed out of the others and of the outcome.

        Frisch and Waugh (1933): fitting the others on these sums is fitting all columns together.
        """
        first = self.gram[:count, :count] + 1e-9 * np.diag(np.maximum(np.diag(self.gram)[:count], 1e-9))
        cross = self.gram[:count, count:]
        explained = np.linalg.solve(first, np.column_stack([cross, self.moment[:count]]))
        return Sums(
            self.gram[count:, count:] - cross.T @ explained[:, :-1],
            self.moment[count:] - cross.T @ explained[:, -1],
            self.square - float(self.moment[:count] @ explained[:, -1]),
            self.rows,
        )


@dataclass(frozen=True)
class Fit:
    """Coefficients, the standard deviation of each block's prior, and the residual variance."""

    coefficients: Numbers
    spreads: Numbers
    variance: float


def fit(sums: Sums, widths: Sequence[int], *, spread: float) -> Fit:
    """Ridge regression with one penalty a block, chosen by the marginal likelihood (MacKay 1992, Tipping 2001).

    y = A β + noise, β of block b ~ Normal(0, s_b²). MacKay's updates: s_b² = Σ β² / γ_b, where
    γ_b = Σ (1 − C_jj / s_b²) counts the well-determined coefficients of the block and C is their posterior covariance.
    A block that explains nothing goes to 0, so that without an effect none is found.

    Args:
        sums: Of the rows; nuisance columns have been taken out.
        widths: Number of columns of each block, in order.
        spread: First guess of every s_b.
    """
    p = len(sums.moment)
    ends = np.cumsum(widths)
    blocks = [slice(end - width, end) for end, width in zip(ends, widths, strict=True)]
    variance = max(sums.square / max(sums.rows, 1), 1e-12)
    precision = np.full(p, 1 / spread**2)
    coefficients = np.zeros(p)
    for _ in range(_ROUNDS):
        # Scaled by the priors, the matrix stays well-conditioned where a block has vanished.
        root = 1 / np.sqrt(precision)
        scaled = root[:, None] * sums.gram * root[None, :] / variance + np.eye(p)
        inverse = np.linalg.inv(scaled)
        coefficients = root * (inverse @ (root * sums.moment / variance))
        known = np.clip(1 - np.diag(inverse), 0, 1)
        before = precision.copy()
        for block in blocks:
            count, size = float(known[block].sum()), float((coefficients[block] ** 2).sum())
            precision[block] = min(max(count, 1e-6) / max(size, 1e-300), _MOST_PRECISE)
        rest = sums.square - 2 * coefficients @ sums.moment + coefficients @ sums.gram @ coefficients
        variance = max(float(rest) / max(sums.rows - float(known.sum()), 1.0), 1e-12)
        alive = np.minimum(before, precision) < _MOST_PRECISE
        if not alive.any() or np.abs(np.log(precision[alive] / before[alive])).max() < _SETTLED:
            break
    spreads = np.array([1 / np.sqrt(precision[block.start]) if block.stop > block.start else 0.0 for block in blocks])
    return Fit(coefficients=coefficients, spreads=spreads, variance=variance)
