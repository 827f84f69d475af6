"""The traits that tell customers apart, on one scale: what segments are made of."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from offerlake.value.likelihood import Numbers

YEAR = 364
"""Days since the last order count up to here; who never ordered counts as one who did so long ago."""


@dataclass(frozen=True)
class Trait:
    """One trait: what users far above and far below the others are called."""

    name: str
    high: str
    low: str


TRAITS = (
    Trait("recency", "lapsed", "recent"),
    Trait("orders", "frequent", "rare"),
    Trait("basket", "large baskets", "small baskets"),
    Trait("discount", "deal seekers", "full price"),
    Trait("visits", "browsing", "seldom on the site"),
)
"""Money of a year is not among them: it is orders times basket, and would make both count twice."""


@dataclass(frozen=True)
class Scale:
    """From a trait's own values (`traits`) to standard deviations from the mean of all users.

    Attributes:
        low: Lower values count as this one.
        high: Higher values count as this one.
        mean: Mean of the values so limited, over the users who have one.
        deviation: Their standard deviation; 0 where all have the same.
    """

    low: float
    high: float
    mean: float
    deviation: float


def traits(features: DataFrame) -> DataFrame:
    """The traits' own values: logarithms of 1 + what is counted, the share that discounts took off as it is.

    Args:
        features: `user_features` of one day.

    Returns:
        user_id and a double a trait; null: nothing is known (the basket and discounts of who never ordered).
    """
    recency = F.least(F.coalesce(F.col("order_recency_days"), F.lit(float(YEAR))), F.lit(float(YEAR)))
    values = {
        "recency": F.log1p(recency),
        "orders": F.log1p(F.col("orders_364d").cast("double")),
        "basket": F.log1p(F.greatest(F.col("order_value_364d"), F.lit(0.0))),
        "discount": F.col("discount_share_364d"),
        "visits": F.log1p(F.col("sessions_84d").cast("double")),
    }
    known = {**values, "basket": F.when(F.col("order_value_364d").isNotNull(), values["basket"])}
    return features.select("user_id", *[known[trait.name].alias(trait.name) for trait in TRAITS])


def learn_scales(values: DataFrame, *, winsor: float) -> tuple[Scale, ...]:
    """The scales of TRAITS over all users; two passes.

    Args:
        values: What `traits` gives.
        winsor: Share of users at either end whose values count as the one at that end, to 0.1 % of users.
    """
    names = [trait.name for trait in TRAITS]
    ends = values.agg(*[F.percentile_approx(name, [winsor, 1 - winsor], 1000).alias(name) for name in names]).first()
    assert ends is not None
    limits = {name: tuple(ends[name] or (0.0, 0.0)) for name in names}
    limited = {name: _limited(F.col(name), *limits[name]) for name in names}
    moments = values.agg(
        *[F.avg(limited[name]).alias(f"{name}_mean") for name in names],
        *[F.stddev_pop(limited[name]).alias(f"{name}_deviation") for name in names],
    ).first()
    assert moments is not None
    return tuple(
        # Rounded: sums of doubles differ in their last bits with the order of the rows.
        Scale(
            low=limits[name][0],
            high=limits[name][1],
            mean=round(moments[f"{name}_mean"] or 0.0, 9),
            deviation=round(moments[f"{name}_deviation"] or 0.0, 9),
        )
        for name in names
    )


def scaled(values: DataFrame, scales: Sequence[Scale]) -> DataFrame:
    """user_id and `z`, an array of doubles in the order of TRAITS: standard deviations; 0 where nothing is known."""
    columns = []
    for trait, scale in zip(TRAITS, scales, strict=True):
        own = _limited(F.col(trait.name), scale.low, scale.high) - F.lit(scale.mean)
        z = own / F.lit(scale.deviation) if scale.deviation > 0 else F.lit(0.0)
        columns.append(F.round(F.coalesce(z, F.lit(0.0)), 9))
    return values.select("user_id", F.array(*columns).alias("z"))


def to_values(centres: Numbers, scales: Sequence[Scale]) -> Numbers:
    """Centres (k, traits) from standard deviations to the traits' own values, which mean the same on every day."""
    deviations, means = ([getattr(scale, name) for scale in scales] for name in ("deviation", "mean"))
    return np.asarray(centres * np.array(deviations) + np.array(means), dtype=np.float64)


def from_values(centres: Numbers, scales: Sequence[Scale]) -> Numbers:
    """The way back, by the scales of another day; 0 for a trait that all users share."""
    deviations = np.array([scale.deviation for scale in scales])
    own = centres - np.array([scale.mean for scale in scales])
    return np.asarray(np.divide(own, deviations, out=np.zeros_like(own), where=deviations > 0), dtype=np.float64)


def nearest(z: Column, centres: Mapping[int, Sequence[float]]) -> Column:
    """The number of the nearest centre (int), the lowest of equally near ones.

    Args:
        z: Array of doubles.
        centres: Number to centre.
    """
    numbers = sorted(centres)
    distances = []
    for number in numbers:
        parts = [F.pow(z[place] - F.lit(float(x)), F.lit(2.0)) for place, x in enumerate(centres[number])]
        total = parts[0]
        for part in parts[1:]:
            total = total + part
        distances.append(F.struct(total.alias("distance"), F.lit(number).alias("number")))
    return F.least(*distances)["number"]


def _limited(value: Column, low: float, high: float) -> Column:
    return F.when(value.isNotNull(), F.least(F.greatest(value, F.lit(float(low))), F.lit(float(high))))
