"""How well purchases and money were foreseen, against each customer's past rate, on days that no model saw."""

from __future__ import annotations

import math

import numpy as np
from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from offerlake.evaluate.bootstrap import Estimate, poisson_means
from offerlake.evaluate.truth import Number

MODEL, RATE, BOOSTED = "clv", "clv.rate", "clv.boosted"
"""Who foresees, as in the metrics' names: BG/NBD with gamma-gamma, the past rate, boosted trees."""
MEASURES = ("purchases", "money")
_BINS = 50  # a unit of logarithm: predictions within 2 % of each other are ties
_ZERO = 1e-6  # below this a prediction is nothing


def column(who: str, what: str) -> str:
    """Name of the column with a prediction."""
    return f"{what}_by_{who.replace('.', '_')}"


def past_rate(customers: DataFrame, *, days: int) -> DataFrame:
    """Adds what each customer would do in the next days if he went on as before.

    Repeat purchases over age × days, and that times the mean value of his repeat purchases: nothing for who has none.

    Args:
        customers: frequency, age_days, monetary as in `user_value`.
        days: How far ahead.
    """
    purchases = F.col("frequency") / F.col("age_days") * F.lit(days)
    money = purchases * F.coalesce(F.col("monetary"), F.lit(0.0))
    return customers.withColumns({column(RATE, "purchases"): purchases, column(RATE, "money"): money})


def judged(frame: DataFrame, *, samples: int, seed: int) -> list[Number]:
    """The numbers of all who foresee.

    `<who>.<what>.rmse` and `.mae` with 95 % intervals over customers, `.calibration` (sum foreseen over sum that came)
    and `.rank_correlation` (Spearman's); `<who>.<what>.gain`: 1 − mean squared error over that of the past rate, with
    its interval by the paired bootstrap: above 0 it foresees better; `clv.judged_users`.

    Args:
        frame: user_id, purchases, money, and for each who foresees the columns `column(who, what)`; who has none of a
            measure is not judged by it. One row a customer.
        samples: Bootstrap samples.
        seed: Of the draws.
    """
    pairs = [(who, what) for what in MEASURES for who in (MODEL, RATE, BOOSTED) if column(who, what) in frame.columns]
    sums = _sums(frame, pairs)
    if not sums["users"]:
        return [Number("clv.judged_users", 0.0)]
    # Squares of money would leave the range in which sums are exact: it is counted in the mean that came.
    units = {"purchases": 1.0, "money": max(sums["money"] / sums["users"], 1e-2)}
    _, means = poisson_means(_errors(frame, pairs, units), key="user_id", samples=samples, seed=seed)
    ranks = _rank_correlations(frame, pairs)
    numbers = [Number("clv.judged_users", float(sums["users"]))]
    for who, what in pairs:
        name, unit, square = f"{who}.{what}", units[what], means[f"{who}.{what}.square"]
        came = sums[what]
        numbers += [
            _scaled(f"{name}.rmse", Estimate(*[_root(x) for x in (square.value, square.low, square.high)]), unit),
            _scaled(f"{name}.mae", means[f"{name}.absolute"], unit),
            Number(f"{name}.calibration", sums[column(who, what)] / came if came else None),
            Number(f"{name}.rank_correlation", ranks[who, what]),
        ]
        baseline = means[f"{RATE}.{what}.square"].value
        if who != RATE and baseline:
            numbers.append(_scaled(f"{name}.gain", means[f"{name}.better"], 1 / baseline))
    return numbers


def _sums(frame: DataFrame, pairs: list[tuple[str, str]]) -> dict[str, float]:
    names = [*MEASURES, *[column(who, what) for who, what in pairs]]
    row = frame.agg(F.count(F.lit(1)).alias("users"), *[F.sum(name).alias(name) for name in names]).first()
    assert row is not None
    return {name: float(value or 0) for name, value in row.asDict().items()}


def _errors(frame: DataFrame, pairs: list[tuple[str, str]], units: dict[str, float]) -> DataFrame:
    def error(who: str, what: str) -> Column:
        return (F.col(column(who, what)) - F.col(what)) / F.lit(units[what])

    columns = []
    for who, what in pairs:
        own, rate = error(who, what), error(RATE, what)
        columns += [(own * own).alias(f"{who}.{what}.square"), F.abs(own).alias(f"{who}.{what}.absolute")]
        if who != RATE:
            columns.append((rate * rate - own * own).alias(f"{who}.{what}.better"))
    return frame.select("user_id", *columns)


def _scaled(name: str, estimate: Estimate, unit: float) -> Number:
    value, low, high = (None if x is None else x * unit for x in (estimate.value, estimate.low, estimate.high))
    return Number(name, value, low, high)


def _root(x: float | None) -> float | None:
    return None if x is None else math.sqrt(max(x, 0.0))


def _rank_correlations(frame: DataFrame, pairs: list[tuple[str, str]]) -> dict[tuple[str, str], float | None]:
    """Spearman's, from customers counted by bin of what was foreseen and of what came: one pass, few rows."""

    def binned(value: Column) -> Column:
        return F.floor(F.log(F.greatest(value.cast("double"), F.lit(_ZERO))) * _BINS).cast("int")

    both = [
        F.struct(F.lit(place).alias("pair"), binned(F.col(column(*pair))).alias("x"), binned(F.col(pair[1])).alias("y"))
        for place, pair in enumerate(pairs)
    ]
    counted = (
        frame.select(F.explode(F.array(*both)).alias("b"))
        .groupBy("b.pair", "b.x", "b.y")
        .agg(F.count(F.lit(1)).alias("n"))
        .toPandas()
    )
    result: dict[tuple[str, str], float | None] = {}
    for place, pair in enumerate(pairs):
        rows = counted[counted["pair"] == place]
        n = rows["n"].to_numpy(np.float64)
        x, y = (_mid_ranks(rows[name].to_numpy(), n) for name in ("x", "y"))
        x, y = x - n @ x / n.sum(), y - n @ y / n.sum()
        spread = math.sqrt(float((n @ x**2) * (n @ y**2)))
        result[pair] = float(n @ (x * y)) / spread if spread > 0 else None
    return result


def _mid_ranks(
    values: np.ndarray[tuple[int], np.dtype[np.int32]], n: np.ndarray[tuple[int], np.dtype[np.float64]]
) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    """The mean rank of each value's ties (rows,), where row i stands for n[i] customers."""
    distinct, place = np.unique(values, return_inverse=True)
    held = np.bincount(place, weights=n, minlength=len(distinct))
    return (np.cumsum(held) - held / 2)[place]
