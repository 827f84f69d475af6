"""Who is in which segment, and what its users are like."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from offerlake.value.labels import Labels
from offerlake.value.traits import TRAITS, Scale, from_values, nearest

MEANS = (
    "order_recency_days", "orders_364d", "money_364d", "order_value_364d", "discount_share_364d", "sessions_84d",
)  # fmt: skip
"""Columns of `user_features` whose means are a segment's profile."""


def placed(users: DataFrame, labels: Labels, scales: Sequence[Scale]) -> DataFrame:
    """The segment whose centre is nearest to each user.

    Args:
        users: user_id and z, as `traits.scaled` gives them by `scales`.
        labels: The segments.
        scales: Today's.

    Returns:
        user_id, z, segment (int), name.
    """
    names = F.create_map(*[F.lit(part) for pair in labels.names.items() for part in pair])
    number = nearest(F.col("z"), _centres(labels, scales))
    return users.select("user_id", "z", number.alias("segment")).withColumn("name", names[F.col("segment")])


def kept_share(rows: DataFrame, former: Labels, scales: Sequence[Scale]) -> float:
    """Share of users who are where the former run's centres would put them today, 0 to 1.

    Args:
        rows: What `placed` gives.
        former: The segments of the run before.
        scales: Today's.
    """
    same = F.col("segment") == nearest(F.col("z"), _centres(former, scales))
    found = rows.agg(F.avg(same.cast("double"))).first()
    return float(found[0]) if found and found[0] is not None else 0.0


def profiles(
    rows: DataFrame, features: DataFrame, labels: Labels, scales: Sequence[Scale], *, value: DataFrame | None
) -> DataFrame:
    """The columns of `segment_profiles`, but for as_of: means over the users of each segment that has any.

    Args:
        rows: What `placed` gives.
        features: `user_features` of the day.
        labels: The segments.
        scales: Today's.
        value: `user_value` of the day; None: there is none.
    """
    joined = rows.select("user_id", "segment", "name").join(
        features.select("user_id", *MEANS), on="user_id", how="inner"
    )
    if value is None:
        joined = joined.withColumn("clv", F.lit(None).cast("double"))
    else:
        joined = joined.join(value.select("user_id", "clv"), on="user_id", how="left")
    counted = joined.groupBy("segment", "name").agg(
        F.count(F.lit(1)).alias("users"), *[F.round(F.avg(name), 9).alias(name) for name in (*MEANS, "clv")]
    )
    everybody = counted.agg(F.sum("users").alias("_all"))
    return counted.crossJoin(F.broadcast(everybody)).select(
        "segment",
        "name",
        "users",
        (F.col("users") / F.col("_all")).alias("share"),
        *MEANS,
        "clv",
        _described(labels, scales)[F.col("segment")].alias("centre"),
    )


def _described(labels: Labels, scales: Sequence[Scale]) -> Column:
    parts = []
    for number, centre in _centres(labels, scales).items():
        pairs = [F.lit(part) for trait, x in zip(TRAITS, centre, strict=True) for part in (trait.name, round(x, 6))]
        parts += [F.lit(number), F.create_map(*pairs)]
    return F.create_map(*parts)


def _centres(labels: Labels, scales: Sequence[Scale]) -> dict[int, list[float]]:
    """Number to centre in today's standard deviations."""
    found = from_values(np.array(list(labels.centres.values())), scales)
    return {number: [float(x) for x in centre] for number, centre in zip(labels.centres, found, strict=True)}
