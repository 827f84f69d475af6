"""Gamma-gamma: what a purchase of a customer is worth on average, from what his purchases so far were worth.

A customer's purchases have values Gamma(p, ν); ν differs between customers as Gamma(q, v). How often he buys tells
nothing of it: that is assumed, and `Spendings.correlation` says how far it holds. Fader and Hardie (2013), The
Gamma-Gamma Model of Monetary Value.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import betaln, digamma

from offerlake.errors import DataError
from offerlake.value.likelihood import LOOSE, Numbers, maximum

PARAMETERS = ("p", "q", "v")


@dataclass(frozen=True)
class Spendings:
    """Customers with about the same mean value of as many purchases, in money.

    Attributes:
        purchases: How many the mean is over, ≥ 1 (rows,).
        value: Mean value of a purchase, above 0, mean over the customers (rows,).
        log_value: Its logarithm, mean over the customers (rows,).
        customers: How many (rows,).
    """

    purchases: Numbers
    value: Numbers
    log_value: Numbers
    customers: Numbers

    @property
    def correlation(self) -> float | None:
        """Pearson's, of purchases and their mean value over customers, −1 to 1; None where one of them is constant."""
        weight = self.customers / self.customers.sum()
        x, y = self.purchases - weight @ self.purchases, self.value - weight @ self.value
        spread = np.sqrt((weight @ x**2) * (weight @ y**2))
        return float(weight @ (x * y) / spread) if spread > 0 else None


@dataclass(frozen=True)
class GammaGamma:
    """A fitted model.

    Attributes:
        p: Shape of a customer's values.
        q: Shape of their scales over customers, above 1, so that the mean over customers is finite.
        v: Scale of these, in money; the mean value of a purchase is p v / (q − 1).
        log_likelihood: In nats, over all customers.
        errors: Standard errors of the logarithms of p, q − 1 and v; infinite where nothing can be said.
        customers: How many it was fitted to.
    """

    p: float
    q: float
    v: float
    log_likelihood: float
    errors: tuple[float, ...]
    customers: int

    @property
    def unidentified(self) -> tuple[str, ...]:
        """Parameters that these customers do not tell: standard error of the logarithm above `likelihood.LOOSE`."""
        return tuple(name for name, error in zip(PARAMETERS, self.errors, strict=True) if not error <= LOOSE)


def log_likelihood(parameters: Numbers, of: Spendings) -> tuple[float, Numbers]:
    """Equation 1a of the paper, summed over all customers, with x purchases of mean value m.

    ln L = −ln B(p x, q) + q ln v + (p x − 1) ln m + p x ln x − (p x + q) ln(v + m x)

    Args:
        parameters: p, q, v, all above 0, q above 1 (3,).
        of: The customers.

    Returns:
        The log-likelihood in nats and its gradient by the logarithms of p, q − 1 and v (3,).
    """
    p, q, v = (float(value) for value in parameters)
    x, weight = of.purchases, of.customers
    spent = np.log(v + of.value * x)
    value = weight @ (
        -betaln(p * x, q) + q * np.log(v) + (p * x - 1) * of.log_value + p * x * np.log(x) - (p * x + q) * spent
    )
    both = digamma(p * x + q)
    by_p = weight @ (x * (both - digamma(p * x) + of.log_value + np.log(x) - spent))
    by_q = weight @ (both - digamma(q) + np.log(v) - spent)
    by_v = weight @ (q / v - (p * x + q) / (v + of.value * x))
    return float(value), np.array([by_p * p, by_q * (q - 1), by_v * v])


def fit(of: Spendings) -> GammaGamma:
    """The parameters with the highest likelihood; money is measured in its mean while searching.

    Args:
        of: Customers with repeat purchases.

    Raises:
        DataError: There are none, or a value or a number of purchases is not above 0.
    """
    if not len(of.customers):
        raise DataError("gamma-gamma: got no customers", fix="Give at least one with a repeat purchase of some value.")
    if not ((of.value > 0).all() and (of.purchases > 0).all()):
        raise DataError(
            f"gamma-gamma: got a value of {of.value.min():g} for {of.purchases.min():g} purchases",
            fix="Give customers with repeat purchases of a value above 0 only.",
        )
    total = float(of.customers.sum())
    unit = float(of.customers @ of.value) / total
    scaled = Spendings(of.purchases, of.value / unit, of.log_value - np.log(unit), of.customers)

    def likelihood(logs: Numbers) -> tuple[float, Numbers]:
        p, above, v = np.exp(logs)
        return log_likelihood(np.array([p, 1 + above, v]), scaled)

    starts = [np.log([p, q - 1, (q - 1) / p]) for p, q in ((5.0, 4.0), (1.0, 2.0), (20.0, 10.0))]
    best = maximum(likelihood, starts, scale=total)
    p, above, v = np.exp(best.logs)
    parameters = np.array([p, 1 + above, v * unit])
    return GammaGamma(
        p=float(p),
        q=float(1 + above),
        v=float(v * unit),
        log_likelihood=log_likelihood(parameters, of)[0],
        errors=tuple(float(error) for error in best.errors),
        customers=round(total),
    )


def expected_value(model: GammaGamma, purchases: Numbers, value: Numbers) -> Numbers:
    """Mean value of a customer's purchases to come, equation 5 of the paper, in money (rows,).

    p (v + m x) / (p x + q − 1): his own mean m drawn to that of all customers, the less the more he has bought.

    Args:
        model: The model.
        purchases: x, 0 for who has none to go by (rows,).
        value: m ≥ 0; whatever it is where x is 0 (rows,).
    """
    spent = np.where(purchases > 0, value, 0.0) * purchases
    return np.asarray(model.p * (model.v + spent) / (model.p * purchases + model.q - 1), dtype=np.float64)
