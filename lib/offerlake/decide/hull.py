"""The assigner's arithmetic on one machine: everything is an array of users by offers."""

from __future__ import annotations

from decimal import ROUND_FLOOR, Decimal
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
MICRO = 1_000_000
"""Millionths of a unit of money, in which budgets are counted."""


def micro_budget(budget: float) -> int:
    """A budget in whole millionths, rounded down."""
    return int((Decimal(repr(float(budget))) * MICRO).to_integral_value(rounding=ROUND_FLOOR))


class Steps(NamedTuple):
    """One entry a step, level by level.

    Attributes:
        user: Row of the user.
        level: Number of the step in the user's hull, from 0.
        offer: Column of what he has after the step.
        ratio: Value per cost of the step; inf where it costs nothing. It falls with the level, but for rounding, where
            it may stay.
        spend: What the step adds to the spend.
    """

    user: Ints
    level: Ints
    offer: Ints
    ratio: Floats
    spend: Ints


def hull_steps(value: Floats, cost: Floats, spend: Ints) -> Steps:
    """Walks all users' upper hulls at once, from (0, 0): each time to the offer with the steepest rise.

    Of equally steep ones it goes to the farthest, of the same point twice to the first.

    Args:
        value: Shape (users, offers), money; −inf where there is no offer.
        cost: Shape (users, offers), ≥ 0; +inf where there is no offer.
        spend: Shape (users, offers): what counts against the budget, in millionths.
    """
    users = np.arange(len(value))
    at_value, at_cost = np.zeros(len(value)), np.zeros(len(value))
    at_spend, slope = np.zeros(len(value), dtype=np.int64), np.full(len(value), np.inf)
    none = np.zeros(0, dtype=np.int64)
    found = [Steps(none, none, none, none.astype(np.float64), none)]
    for level in range(value.shape[1] if value.ndim > 1 else 0):
        gain, extra = value[users] - at_value[users, None], cost[users] - at_cost[users, None]
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            rise = np.where(extra > 0, gain / extra, np.inf)
        rise[(gain <= 0) | (extra < 0)] = -np.inf
        steepest = rise.max(axis=1)
        goes_on = steepest > 0
        users, rise, steepest, gain = users[goes_on], rise[goes_on], steepest[goes_on], gain[goes_on]
        if not len(users):
            break
        offer = np.where(rise == steepest[:, None], gain, -np.inf).argmax(axis=1)
        slope[users] = np.minimum(slope[users], steepest)
        added = spend[users, offer] - at_spend[users]
        found.append(Steps(users, np.full(len(users), level), offer, slope[users], added))
        at_value[users], at_cost[users], at_spend[users] = value[users, offer], cost[users, offer], spend[users, offer]
    return Steps(*(np.concatenate(parts) for parts in zip(*found, strict=True)))


def assign_here(value: Floats, cost: Floats, spend: Floats, budget: float) -> Ints:
    """The assigner of `allocate` for as many users as fit into one machine's memory, by plain sorting.

    Users at exactly the same value per cost come in the order of their rows, not by the hash of their ids.

    Args:
        value: Shape (users, offers), money, cost taken off; −inf where the user may not get the offer.
        cost: Shape (users, offers), money, ≥ 0: makes the order.
        spend: Shape (users, offers), money: counts against the budget.
        budget: Money.

    Returns:
        Each user's offer, a column; −1: nothing.
    """
    allowed = np.isfinite(value)
    whole = np.ceil(np.where(allowed, spend, 0.0) * MICRO).astype(np.int64)
    steps = hull_steps(np.where(allowed, value, -np.inf), np.where(allowed, cost, np.inf), whole)
    order = np.lexsort((steps.level, steps.user, -steps.ratio))
    over = np.cumsum(steps.spend[order]) > micro_budget(budget)
    taken = np.sort(order[: int(over.argmax()) if over.any() else len(order)])
    chosen = np.full(len(value), -1, dtype=np.int64)
    # Steps are listed level by level, so the last one written is a user's highest.
    chosen[steps.user[taken]] = steps.offer[taken]
    return chosen
