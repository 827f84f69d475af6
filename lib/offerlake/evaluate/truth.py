"""What assignments truly bring, on a test shop whose every user's answer to every offer is known.

A policy's `oracle_share` is the true incremental margin of what it gives, divided by that of the oracle, who knows the
true effects and uses the same assigner. All policies choose among the same pairs of user and offer, for all users,
without holdout and exploration, each in its own order, until the *true* expected cost of what they give reaches the
same budget, half of what the oracle would spend without one, or nothing is left that they value above 0.

Arrays are users by offers, users and offers sorted by id.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Assigner = Callable[[Floats, Floats, Floats, float], Ints]
"""(value, cost, spend, budget) to each user's offer, −1 for nothing: `decide.hull.assign_here`."""

POLICIES = ("model", "random", "old_rule", "response_ranked", "best_single", "arm_average", "ceiling")


@dataclass(frozen=True)
class Shop:
    """What is true and what was believed, of the same pairs.

    Attributes:
        true_value: True incremental margin, cost taken off; −inf where the user may not get the offer.
        true_cost: True expected cost.
        value: Expected incremental margin by the model, cost taken off.
        cost: Expected cost by the model.
        p_response: P(the label | offer) by the model.
        p_no_offer: P(the label | nothing) by the model; shape (users,).
        order_margin: Margin of one order.
        redemption_cost: Cost of one use.
        contact_cost: Cost of the message.
        arm_effect: Mean of responded in each arm of the experiment less that of the control; shape (offers,).
        arm_use: Uses by order in each arm of the experiment; shape (offers,).
        rule_order: In what order the old rule takes users, highest first; shape (users,).
        rule_offer: Column of what it gives; −1: there is no old rule.
        ceiling_value: True value as the features let it be known; shape (users, offers). None: not worked out.
        ceiling_cost: Likewise the true cost.
        published: Each user's offer in the run, with its holdout and exploration; −1: nothing.
    """

    true_value: Floats
    true_cost: Floats
    value: Floats
    cost: Floats
    p_response: Floats
    p_no_offer: Floats
    order_margin: Floats
    redemption_cost: Floats
    contact_cost: Floats
    arm_effect: Floats
    arm_use: Floats
    rule_order: Floats
    rule_offer: int
    ceiling_value: Floats | None
    ceiling_cost: Floats | None
    published: Ints


@dataclass(frozen=True)
class Number:
    """A number with its 95 % interval; None: not defined."""

    name: str
    value: float | None
    low: float | None = None
    high: float | None = None


def generator(seed: int, use: int) -> np.random.Generator:
    """A generator of its own for each use of a seed, which may be negative."""
    return np.random.default_rng([seed % 2**32, use])


def oracle_budget(shop: Shop) -> float:
    """Half of what the oracle spends where nothing limits it."""
    best = shop.true_value.argmax(axis=1)
    rows = np.arange(len(best))
    wanted = shop.true_value[rows, best] > 0
    return float(shop.true_cost[rows, best][wanted].sum() / 2)


def choose_all(shop: Shop, *, assign: Assigner, budget: float, seed: int) -> dict[str, Ints]:
    """What each policy gives each user; the oracle's under `oracle`, policies that cannot be worked out left out."""

    def within(value: Floats, cost: Floats) -> Ints:
        return assign(np.where(np.isfinite(shop.true_value), value, -np.inf), cost, shop.true_cost, budget)

    def in_order(order: Floats) -> Ints:
        """Each user's highest offer, users from the highest down: with cost 1, value per cost is the order itself."""
        best = order.max(axis=1, keepdims=True)
        return within(np.where(order == best, order, -np.inf), np.ones_like(order))

    rng = generator(seed, 1)
    allowed = np.isfinite(shop.true_value)
    lottery = np.where(allowed, rng.uniform(size=allowed.shape), -np.inf)
    found = {
        "oracle": within(shop.true_value, shop.true_cost),
        "model": within(shop.value, shop.cost),
        "random": in_order(lottery),
        "response_ranked": in_order(np.where(allowed, shop.p_response * shop.order_margin - shop.cost, -np.inf)),
        "best_single": _best_single(shop, in_order, rng.uniform(size=len(allowed))),
        "arm_average": within(*arm_average(shop)),
    }
    if shop.rule_offer >= 0:
        found["old_rule"] = in_order(_only(shop.rule_offer, shop.rule_order, shape=allowed.shape))
    if shop.ceiling_value is not None and shop.ceiling_cost is not None:
        found["ceiling"] = within(shop.ceiling_value, np.maximum(shop.ceiling_cost, 0.0))
    return found


def arm_average(shop: Shop) -> tuple[Floats, Floats]:
    """Value and cost by every arm's mean effect with the user's own base rate, margin and costs.

    value(u, o) = effect(o) · order_margin(u) − cost(u, o), with
    cost(u, o) = (p_no_offer(u) + effect(o)) · use(o) · redemption_cost(u, o) + contact_cost(o).
    """
    response = np.maximum(shop.p_no_offer[:, None] + shop.arm_effect, 0.0)
    cost = response * shop.arm_use * shop.redemption_cost + shop.contact_cost
    return shop.arm_effect * shop.order_margin - cost, cost


def gains(shop: Shop, chosen: Ints) -> Floats:
    """True incremental margin of each user's offer, 0 for nothing."""
    given = chosen >= 0
    return np.where(given, shop.true_value[np.arange(len(chosen)), np.maximum(chosen, 0)], 0.0)


def spend(shop: Shop, chosen: Ints) -> float:
    """True expected cost of what is given."""
    given = np.flatnonzero(chosen >= 0)
    return float(shop.true_cost[given, chosen[given]].sum())


def oracle_shares(shop: Shop, *, assign: Assigner, samples: int, seed: int) -> list[Number]:
    """Shares of the oracle, gaps between the model and the others, and the assignment as published.

    Intervals: Poisson bootstrap over users (`samples` times), choices and prices as they are. The same users are drawn
    for all policies, so the gaps are paired.

    Returns:
        oracle_share.<policy> for every one of `POLICIES`; oracle_gap.<policy>, the model's share less the policy's;
        oracle_ratio.ceiling, the model's share by the ceiling's; published.true_value (money), published.true_spend
        (money), published.oracle_share (of an oracle with the same true spend).
    """
    budget = oracle_budget(shop)
    chosen = choose_all(shop, assign=assign, budget=budget, seed=seed)
    of = {name: gains(shop, who) for name, who in chosen.items()}
    of["published"] = gains(shop, shop.published)
    published_spend = spend(shop, shop.published)
    of["oracle, as much as published"] = gains(
        shop, assign(shop.true_value, shop.true_cost, shop.true_cost, published_spend)
    )
    names = list(of)
    table = np.column_stack([of[name] for name in names])
    weights = generator(seed, 2).poisson(1.0, size=(samples, len(table))).astype(np.float64)
    sums = dict(zip(names, np.vstack([table.sum(axis=0), weights @ table]).T, strict=True))

    def ratio(name: str, upper: Floats, lower: Floats) -> Number:
        if lower[0] <= 0:
            return Number(name, None)
        drawn = upper[1:] / np.where(lower[1:] > 0, lower[1:], np.nan)
        low, high = np.nanquantile(drawn, [0.025, 0.975])
        return Number(name, float(upper[0] / lower[0]), float(low), float(high))

    zero = np.zeros(samples + 1)
    shares = [ratio(f"oracle_share.{name}", sums.get(name, zero), sums["oracle"]) for name in POLICIES if name in sums]
    missing = [Number(f"oracle_share.{name}", None) for name in POLICIES if name not in sums]
    others = [name for name in POLICIES if name in sums and name != "model"]
    gaps = [ratio(f"oracle_gap.{name}", sums["model"] - sums[name], sums["oracle"]) for name in others]
    of_ceiling = [ratio("oracle_ratio.ceiling", sums["model"], sums["ceiling"])] if "ceiling" in sums else []
    low, high = np.quantile(sums["published"][1:], [0.025, 0.975])
    return [
        *shares,
        *missing,
        *gaps,
        *of_ceiling,
        Number("published.true_value", float(sums["published"][0]), float(low), float(high)),
        Number("published.true_spend", published_spend),
        ratio("published.oracle_share", sums["published"], sums["oracle, as much as published"]),
    ]


def _only(offer: int, order: Floats, *, shape: tuple[int, ...]) -> Floats:
    alone = np.full(shape, -np.inf)
    alone[:, offer] = order
    return alone


def _best_single(shop: Shop, in_order: Callable[[Floats], Ints], order: Floats) -> Ints:
    """The one offer that truly brings most when everybody gets it, in an order of chance, within the budget.

    Nothing, where every one would lose money.
    """
    users, offers = shop.true_value.shape
    tried = [np.full(users, -1), *(in_order(_only(offer, order, shape=(users, offers))) for offer in range(offers))]
    return tried[int(np.argmax([gains(shop, chosen).sum() for chosen in tried]))]
