"""BG/NBD: how often a customer will buy, from how often and how recently he has bought.

A customer who is alive buys at random with rate λ, which differs between customers as Gamma(r, α); after each purchase
he drops out for good with probability p, which differs as Beta(a, b). Fader, Hardie and Lee (2005), "Counting Your
Customers" the Easy Way, Marketing Science 24(2). Only frequency, recency and age enter, so customers with the same
three numbers are one row with a count.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from itertools import count

import numpy as np
from scipy.special import betaln, digamma, expit, gammaln

from offerlake.errors import DataError
from offerlake.value.likelihood import LOOSE, Numbers, maximum

PARAMETERS = ("r", "alpha", "a", "b")
_SHARP, _SHARPEST = 1e-11, 1e-13  # relative error of a sum that is cut off, and what rounding allows
_NOTHING = 1e-18  # a probability that changes no sum


@dataclass(frozen=True)
class Histories:
    """Distinct purchase histories, times in one unit.

    Attributes:
        frequency: Purchases after the first, x (rows,).
        recency: From the first purchase to the last, t_x, 0 where x is 0 (rows,).
        age: From the first purchase to the end of what is known, T ≥ t_x, above 0 (rows,).
        customers: How many have this history (rows,).
    """

    frequency: Numbers
    recency: Numbers
    age: Numbers
    customers: Numbers

    @cached_property
    def counts(self) -> tuple[Numbers, Numbers]:
        """The values of x, and the customers with each: part of the likelihood depends on x alone."""
        values, place = np.unique(self.frequency, return_inverse=True)
        return values, np.bincount(place, weights=self.customers).astype(np.float64)

    def check(self) -> None:
        """Stops at histories that cannot be.

        Raises:
            DataError: There are none, or a recency above the age, an age of 0, a negative or a missing number.
        """
        if not len(self.customers) or self.customers.sum() <= 0:
            raise DataError("BG/NBD: got no customers", fix="Give at least one with a purchase.")
        wrong = ~(
            (self.frequency >= 0) & (self.recency >= 0) & (self.recency <= self.age) & (self.age > 0)
            & ((self.frequency > 0) | (self.recency == 0))
        )  # fmt: skip
        if wrong.any():
            row = int(np.flatnonzero(wrong)[0])
            got = f"frequency {self.frequency[row]:g}, recency {self.recency[row]:g}, age {self.age[row]:g}"
            raise DataError(f"BG/NBD: got {got}", fix="Give 0 ≤ recency ≤ age, age > 0, recency 0 without a repeat.")


@dataclass(frozen=True)
class BgNbd:
    """A fitted model.

    Attributes:
        r: Shape of the purchase rates.
        alpha: Their scale, in the histories' unit of time; the mean rate is r / alpha.
        a: Of the Beta distribution of dropping out after a purchase; its mean is a / (a + b).
        b: Likewise.
        log_likelihood: In nats, over all customers.
        errors: Standard errors of the logarithms of r, alpha, a and b; infinite where nothing can be said.
        customers: How many it was fitted to.
    """

    r: float
    alpha: float
    a: float
    b: float
    log_likelihood: float
    errors: tuple[float, ...]
    customers: int

    @property
    def unidentified(self) -> tuple[str, ...]:
        """Parameters that these customers do not tell: standard error of the logarithm above `likelihood.LOOSE`.

        What is expected of a customer may be well known all the same: only the ratio of two of them may matter.
        """
        return tuple(name for name, error in zip(PARAMETERS, self.errors, strict=True) if not error <= LOOSE)


def log_likelihood(parameters: Numbers, of: Histories) -> tuple[float, Numbers]:
    """Equation 6 of the paper, summed over all customers, without overflow.

    ln L = ln Γ(r + x) − ln Γ(r) + r ln α + ln B(a, b + x) − ln B(a, b) + ln(stays + left), where
    stays = (α + T)^−(r + x) and, with x > 0, left = a / (b + x − 1) · (α + t_x)^−(r + x).

    Args:
        parameters: r, alpha, a, b, all above 0 (4,).
        of: The customers.

    Returns:
        The log-likelihood in nats and its gradient by the logarithms of the parameters (4,).
    """
    r, alpha, a, b = (float(value) for value in parameters)
    x, customers = of.counts
    repeats, weight = of.frequency, of.customers
    by_count = gammaln(r + x) - gammaln(r) + r * np.log(alpha) + betaln(a, b + x) - betaln(a, b)
    log_age, log_recency = np.log(alpha + of.age), np.log(alpha + of.recency)
    chances = b + np.maximum(repeats, 1) - 1
    stays = -(r + repeats) * log_age
    left = np.where(repeats > 0, np.log(a / chances) - (r + repeats) * log_recency, -np.inf)
    either = np.logaddexp(stays, left)
    gone = np.exp(left - either)
    value = float(customers @ by_count + weight @ either)
    total, together = float(customers.sum()), digamma(a + b) - digamma(a + b + x)
    by_r = customers @ (digamma(r + x) - digamma(r) + np.log(alpha)) - weight @ (
        log_age + gone * (log_recency - log_age)
    )
    waits = (1 - gone) / (alpha + of.age) + gone / (alpha + of.recency)
    by_alpha = total * r / alpha - weight @ ((r + repeats) * waits)
    by_a = customers @ together + weight @ gone / a
    by_b = customers @ (together + digamma(b + x) - digamma(b)) - weight @ (gone / chances)
    return value, np.array([by_r * r, by_alpha * alpha, by_a * a, by_b * b])


def fit(of: Histories) -> BgNbd:
    """The parameters with the highest likelihood.

    Times are measured in mean ages while searching, so that the unit changes nothing.

    Args:
        of: The customers; the order of the rows does not matter but for rounding.

    Raises:
        DataError: Histories that cannot be, or none.
    """
    of.check()
    unit = float(of.customers @ of.age / of.customers.sum())
    scaled = Histories(of.frequency, of.recency / unit, of.age / unit, of.customers)
    total = float(of.customers.sum())
    rate = max(float(of.customers @ of.frequency) / total, 1.0 / total)  # purchases a mean age
    starts = [
        np.log(np.clip([r, r / rate, a, b], 1e-4, 1e4))
        for r, a, b in ((1.0, 1.0, 1.0), (0.25, 0.5, 3.0), (3.0, 1.0, 20.0))
    ]
    best = maximum(lambda logs: log_likelihood(np.exp(logs), scaled), starts, scale=total)
    r, alpha, a, b = np.exp(best.logs) * np.array([1.0, unit, 1.0, 1.0])
    return BgNbd(
        r=float(r),
        alpha=float(alpha),
        a=float(a),
        b=float(b),
        log_likelihood=log_likelihood(np.array([r, alpha, a, b]), of)[0],
        errors=tuple(float(error) for error in best.errors),
        customers=round(total),
    )


def p_alive(model: BgNbd, frequency: Numbers, recency: Numbers, age: Numbers) -> Numbers:
    """P(not dropped out yet), 0 to 1; 1 for who has bought once, because one drops out after a repeat only.

    1 / (1 + a / (b + x − 1) · ((α + T) / (α + t_x))^(r + x)) for x > 0.

    Args:
        model: The model.
        frequency: x (rows,).
        recency: t_x (rows,).
        age: T (rows,).
    """
    log_odds = np.log(model.a / (model.b + np.maximum(frequency, 1) - 1)) + (model.r + frequency) * np.log1p(
        (age - recency) / (model.alpha + recency)
    )
    return np.where(frequency > 0, expit(-log_odds), 1.0)


def expected_purchases(model: BgNbd, frequency: Numbers, recency: Numbers, age: Numbers, *, horizon: float) -> Numbers:
    """Purchases to expect in (T, T + horizon], equation 10 of the paper (rows,).

    Args:
        model: The model.
        frequency: x (rows,).
        recency: t_x (rows,).
        age: T (rows,).
        horizon: How long, in the same unit.
    """
    return p_alive(model, frequency, recency, age) * _while_alive(model, frequency, age, horizon)


def _while_alive(model: BgNbd, frequency: Numbers, age: Numbers, horizon: float) -> Numbers:
    """Purchases to expect of who is still alive at T (rows,).

    The paper has a Gaussian hypergeometric function times 1 / (a − 1), which cancels near a = 1 and overflows for
    frequent buyers. The same number is a sum of positive terms. If nobody dropped out, the purchases N ahead would be
    negative binomial, with shape r + x and P(N = 0) = ((α + T) / (α + T + horizon))^(r + x); the j-th is made when
    N ≥ j and the j − 1 before it were survived:

        Σ_{j ≥ 1} P(N ≥ j) · (b + x)_{j − 1} / (a + b + x)_{j − 1},    with (z)_k = z (z + 1) … (z + k − 1)
    """
    shape = model.r + frequency
    share = horizon / (model.alpha + age + horizon)
    ahead = shape * share / (1 - share)
    enough = np.maximum(_SHARP * (1 - share), _SHARPEST)
    total = np.zeros_like(shape)
    rows = np.arange(len(shape))
    log_exactly = shape * np.log1p(-share)
    at_least, survives = -np.expm1(log_exactly), np.ones_like(shape)
    staying = model.b + frequency
    for j in count(1):
        total[rows] += at_least * survives
        log_exactly += np.log((shape + (j - 1)) / j * share)
        exactly = np.exp(log_exactly)
        at_least = np.maximum(at_least - exactly, 0.0)
        survives = survives * (staying + (j - 1)) / (staying + model.a + (j - 1))
        goes_on = (at_least * survives > enough * total[rows]) & ((j < ahead) | (exactly > _NOTHING))
        if goes_on.all():
            continue
        if not goes_on.any():
            break
        rows, shape, share, ahead, enough, log_exactly, at_least, survives, staying = (
            part[goes_on] for part in (rows, shape, share, ahead, enough, log_exactly, at_least, survives, staying)
        )
    return total
