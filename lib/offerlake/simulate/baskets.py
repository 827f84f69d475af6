"""What an order holds on average, in closed form: the offer changes whether somebody buys, not what.

An order has 1 to 4 lines; each draws its category by taste, its rank by price level, and 1 or 2 units.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd
from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F
from pyspark.sql.pandas.functions import pandas_udf

from offerlake.simulate.catalogue import CATEGORIES
from offerlake.simulate.offers import MIN_SPENDS
from offerlake.simulate.traits import LEVELS, steepness

LINES = (0.35, 0.30, 0.20, 0.15)
"""P(an order has 1, 2, 3, 4 lines)."""
PAIRS = 0.2
"""P(a line is of 2 units instead of 1)."""
RETURNED = 0.06
"""P(a line is returned, whole, within the same window)."""
MEAN_LINES = sum((k + 1) * share for k, share in enumerate(LINES))
MEAN_UNITS = 1 + PAIRS

Array = npt.NDArray[np.float64]


@dataclass(frozen=True)
class PriceTables:
    """Means over the products of a category that a user of a price level buys; all arrays are category × level.

    Attributes:
        price: Mean price of one unit, money.
        margin: Mean price less unit cost, money.
        chances: P(a unit's price, rounded up, is k), category × level × k, for k from 0 to the largest minimum spend.
    """

    price: Array
    margin: Array
    chances: Array


def price_tables(products: DataFrame, *, size: int) -> PriceTables:
    """Sums the catalogue up by category, level and price: a few thousand numbers, whatever the number of products.

    Rank r has the probability ((r + 1)/n)^(1/θ) − (r/n)^(1/θ), where θ is the level's steepness.
    """
    level = F.col("level")
    inverse = F.lit(1.0) / steepness(level)
    rank = F.col("rank")
    share = F.pow((rank + 1) / F.lit(float(size)), inverse) - F.pow(rank / F.lit(float(size)), inverse)
    summed = (
        products.select("*", F.explode(F.sequence(F.lit(0), F.lit(LEVELS - 1))).alias("level"))
        .select("category_index", "level", "price_cents", "cost_cents", share.alias("share"))
        .groupBy("category_index", "level", "price_cents")
        .agg(F.sum("share").alias("share"), F.sum(F.col("share") * F.col("cost_cents")).alias("cost"))
        .orderBy("category_index", "level", "price_cents")
        .toPandas()
    )
    shape = (len(CATEGORIES), LEVELS)
    price, margin = np.zeros(shape), np.zeros(shape)
    chances = np.zeros((*shape, max(MIN_SPENDS) + 1))
    place = (summed["category_index"].to_numpy(), summed["level"].to_numpy())
    cents, weight = summed["price_cents"].to_numpy(), summed["share"].to_numpy()
    np.add.at(price, place, weight * cents / 100)
    np.add.at(margin, place, (weight * cents - summed["cost"].to_numpy()) / 100)
    units = (cents + 1) // 100
    small = units <= max(MIN_SPENDS)
    np.add.at(chances, (place[0][small], place[1][small], units[small]), weight[small])
    return PriceTables(price, margin, chances)


def reach(taste: Array, level: npt.NDArray[np.int64], chances: Array) -> Array:
    """P(an order's value before discounts is at least each of MIN_SPENDS).

    A price is a whole number k less one cent, so an order of at most 8 units is worth at least m exactly where its ks
    add up to more than m. The sum's distribution is the lines' convolution, cut off at the largest m.

    Args:
        taste: Users × categories.
        level: One price level a user.
        chances: As in PriceTables.

    Returns:
        Users × MIN_SPENDS.
    """
    single = np.einsum("uc,cuk->uk", taste, chances[:, level, :])
    width = single.shape[1]
    double = np.zeros_like(single)
    double[:, ::2] = single[:, : (width + 1) // 2]
    line = (1 - PAIRS) * single + PAIRS * double
    spectrum = np.fft.rfft(line, 2 * width, axis=1)
    below = np.zeros((len(taste), len(MIN_SPENDS)))
    total = line
    for count, share in enumerate(LINES):
        if count:
            total = np.fft.irfft(np.fft.rfft(total, 2 * width, axis=1) * spectrum, 2 * width, axis=1)[:, :width]
        below += share * np.stack([total[:, : spend + 1].sum(axis=1) for spend in MIN_SPENDS], axis=1)
    return np.clip(1 - below, 0.0, 1.0)


def basket_moments(taste: Column, level: Column, tables: PriceTables) -> Column:
    """A struct of a user's order before any offer.

    Returns:
        gross (array by category: expected value before discounts, money), margin (expected net amount less unit costs
        without discounts, returns taken off), reach (array by MIN_SPENDS).
    """

    def moments(tastes: pd.Series, levels: pd.Series) -> pd.DataFrame:
        shares, level_of = np.stack(tastes.to_list()), levels.to_numpy()
        units = MEAN_LINES * MEAN_UNITS
        gross = units * shares * tables.price[:, level_of].T
        margin = (1 - RETURNED) * units * (shares * tables.margin[:, level_of].T).sum(axis=1)
        return pd.DataFrame(
            {
                "gross": list(gross.round(9)),
                "margin": margin.round(9),
                "reach": list(reach(shares, level_of, tables.chances).round(9)),
            }
        )

    made = pandas_udf(moments, "gross array<double>, margin double, reach array<double>")  # type: ignore[call-overload]
    return made(taste, level)  # type: ignore[no-any-return]


def in_scope_chance(share: Column) -> Column:
    """P(at least one line of an order is of a category that has this share of the user's taste)."""
    missed = F.lit(0.0)
    for count, chance in enumerate(LINES, start=1):
        missed = missed + F.lit(chance) * F.pow(F.lit(1.0) - share, F.lit(count))
    return F.lit(1.0) - missed
