"""Maximum likelihood with positive parameters: on their logarithms, from several starts, with standard errors."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.optimize import minimize

Numbers = npt.NDArray[np.float64]
Likelihood = Callable[[Numbers], tuple[float, Numbers]]
"""Logarithms of the parameters (k,) to the log-likelihood, in nats, and its gradient by these logarithms (k,)."""

LOOSE = 1.0
"""A logarithm whose standard error exceeds this is not identified: its 95 % interval spans a factor of 50."""
_REACH = float(np.log(1e5))  # the search ends at 1e-5 and 1e5 in the caller's units: flat likelihoods have no maximum
_STEP = 1e-4  # of the central differences, in logarithms: their error is about 1e-8
_FLAT = 1e-9  # a curvature below this share of the largest is none


@dataclass(frozen=True)
class Maximum:
    """Where a log-likelihood is highest.

    Attributes:
        logs: Logarithms of the parameters (k,).
        value: The log-likelihood there, in nats.
        errors: Standard errors of `logs` (k,), by the observed information; infinite at the edge of the search.
    """

    logs: Numbers
    value: float
    errors: Numbers


def maximum(likelihood: Likelihood, starts: Sequence[Numbers], *, scale: float) -> Maximum:
    """The best of the maxima that L-BFGS-B reaches from the starts.

    Args:
        likelihood: What is to be as high as possible.
        starts: Logarithms of parameters (k,), within ±log(1e5).
        scale: Number of customers: the search looks at the mean, so that its tolerance means the same for any number.
    """

    def loss(logs: Numbers) -> tuple[float, Numbers]:
        value, gradient = likelihood(logs)
        return -value / scale, -gradient / scale

    options = {"maxiter": 2000, "maxfun": 20_000, "maxcor": 20, "ftol": 1e-15, "gtol": 1e-9}
    bounds = [(-_REACH, _REACH)] * len(starts[0])
    ends = [minimize(loss, start, jac=True, method="L-BFGS-B", bounds=bounds, options=options).x for start in starts]
    best = max(ends, key=lambda logs: likelihood(logs)[0])
    return Maximum(logs=best, value=likelihood(best)[0], errors=_errors(likelihood, best))


def _errors(likelihood: Likelihood, logs: Numbers) -> Numbers:
    """√ of the diagonal of the inverse observed information; directions without curvature count as endless."""
    steps = _STEP * np.eye(len(logs))
    rows = [(likelihood(logs + step)[1] - likelihood(logs - step)[1]) / (2 * _STEP) for step in steps]
    information = -(np.array(rows) + np.array(rows).T) / 2
    curvatures, directions = np.linalg.eigh(information)
    floor = max(_FLAT * float(np.abs(curvatures).max()), 1e-12)
    variances = (directions**2 / np.maximum(curvatures, floor)).sum(axis=1)
    errors = np.sqrt(variances)
    errors[np.abs(logs) > _REACH - 1e-3] = np.inf
    return np.asarray(errors, dtype=np.float64)
