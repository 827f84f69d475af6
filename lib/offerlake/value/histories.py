"""What `user_days` tells of each customer's purchases: before a day, and after it. And the sums that models learn from.

A purchase is a day with an order (`order_days`): two orders on one day are one decision to shop. Both clocks hold,
because a row of `user_days` says from which day it counts.
"""

from __future__ import annotations

from datetime import date

import numpy as np
from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from offerlake.value.bgnbd import Histories
from offerlake.value.gammagamma import Spendings

WEEK = 7.0
_MONEY = 10_000  # `user_days` has money in ten-thousandths
_LOGS = 1_000_000_000  # logarithms are summed as whole billionths: the same in whatever order
_WIDTH = 0.01  # of a group of mean values, in logarithms: 1 %
RECENT = ("purchases_28d", "purchases_84d", "money_84d", "sessions_28d", "sessions_84d")
"""What boosting sees besides; BG/NBD does not."""


def summary(as_of: date, days: DataFrame) -> DataFrame:
    """Purchases so far of everybody who had bought before `as_of`.

    Args:
        as_of: The day; what had not arrived before it does not count.
        days: The table `user_days`.

    Returns:
        user_id, frequency, recency_days, age_days (int), monetary (double?) as in `user_value`, and RECENT: days with
        an order, money on them, and sessions in windows before `as_of`. One row a user.
    """
    age = F.datediff(F.lit(as_of), F.col("event_day"))

    def within(length: int, name: str) -> Column:
        return _total(F.when(age <= length, F.col(name)))

    found = (
        days.where(F.col("since") <= F.lit(as_of))
        .groupBy("user_id")
        .agg(
            F.min(F.when(F.col("order_days") > 0, F.col("event_day"))).alias("first"),
            *[_total(F.col(name)).alias(name) for name in ("gaps", "gap_days", "repeat_spent")],
            within(28, "order_days").alias("purchases_28d"),
            within(84, "order_days").alias("purchases_84d"),
            (within(84, "spent") / F.lit(_MONEY)).alias("money_84d"),
            within(28, "sessions").alias("sessions_28d"),
            within(84, "sessions").alias("sessions_84d"),
        )
    )
    return found.where(F.col("first").isNotNull()).select(
        "user_id",
        F.col("gaps").cast("int").alias("frequency"),
        F.col("gap_days").cast("int").alias("recency_days"),
        F.datediff(F.lit(as_of), F.col("first")).alias("age_days"),
        F.when(F.col("gaps") > 0, F.col("repeat_spent") / F.col("gaps") / F.lit(_MONEY)).alias("monetary"),
        *RECENT,
    )


def outcomes(customers: DataFrame, days: DataFrame, *, cut: date, as_of: date) -> DataFrame:
    """What customers bought in [cut, as_of), as far as it was known as of `as_of`.

    Args:
        customers: user_id, unique.
        days: The table `user_days`.
        cut: First day of the window.
        as_of: First day after it.

    Returns:
        user_id, purchases (int: days with an order), money (double: net amount on them); 0 for who bought nothing.
    """
    inside = (F.col("event_day") >= F.lit(cut)) & (F.col("event_day") < F.lit(as_of))
    bought = (
        days.where(inside & (F.col("since") <= F.lit(as_of)))
        .groupBy("user_id")
        .agg(F.sum("order_days").alias("purchases"), F.sum("spent").alias("spent"))
    )
    return (
        customers.select("user_id")
        .join(bought, on="user_id", how="left")
        .select(
            "user_id",
            F.coalesce(F.col("purchases"), F.lit(0)).cast("int").alias("purchases"),
            (F.coalesce(F.col("spent"), F.lit(0)) / F.lit(_MONEY)).alias("money"),
        )
    )


def _total(value: Column) -> Column:
    return F.coalesce(F.sum(value), F.lit(0))


def histories(customers: DataFrame, *, most: int) -> tuple[Histories, int]:
    """Customers counted by their purchase history, in weeks: the sufficient statistics of BG/NBD.

    Histories are told apart by whole days as long as there are at most `most`, else by 7, 14, 28, … days; customers
    who are then taken together count with their mean recency and age.

    Args:
        customers: What `summary` gives.
        most: Rows that may come to the driver.

    Returns:
        The histories, ordered, and the days by which they are told apart.
    """
    grain = 1
    while True:
        whole = [F.floor(F.col(name) / grain).alias(f"_{name}") for name in ("recency_days", "age_days")]
        sums = [F.count(F.lit(1)).alias("n"), *(F.sum(name).alias(name) for name in ("recency_days", "age_days"))]
        found = customers.groupBy(F.col("frequency"), *whole).agg(*sums).limit(most + 1).toPandas()
        if len(found) <= most:
            break
        grain = 7 if grain == 1 else 2 * grain
    found = found.sort_values(["frequency", "_recency_days", "_age_days"])
    customers_of = found["n"].to_numpy(np.float64)
    return (
        Histories(
            frequency=found["frequency"].to_numpy(np.float64),
            recency=found["recency_days"].to_numpy(np.float64) / customers_of / WEEK,
            age=found["age_days"].to_numpy(np.float64) / customers_of / WEEK,
            customers=customers_of,
        ),
        grain,
    )


def spendings(customers: DataFrame, *, most: int) -> Spendings:
    """Customers with repeat purchases counted by how many and by their mean value: what gamma-gamma learns from.

    Mean values within 1 % of each other are one, with their mean and the mean of their logarithms; within 2, 4, … %
    where there would be more than `most` rows. Who bought for nothing is left out.

    Args:
        customers: What `summary` gives.
        most: Rows that may come to the driver.
    """
    paying = customers.where((F.col("frequency") > 0) & (F.col("monetary") > 0))
    width = _WIDTH
    while True:
        log = F.log("monetary")
        found = (
            paying.groupBy("frequency", F.floor(log / width).alias("bin"))
            .agg(
                F.count(F.lit(1)).alias("n"),
                F.sum(F.round(F.col("monetary") * _MONEY).cast("bigint")).alias("value"),
                F.sum(F.round(log * _LOGS).cast("bigint")).alias("log"),
            )
            .limit(most + 1)
            .toPandas()
        )
        if len(found) <= most:
            break
        width *= 2
    found = found.sort_values(["frequency", "bin"])
    customers_of = found["n"].to_numpy(np.float64)
    return Spendings(
        purchases=found["frequency"].to_numpy(np.float64),
        value=found["value"].to_numpy(np.float64) / customers_of / _MONEY,
        log_value=found["log"].to_numpy(np.float64) / customers_of / _LOGS,
        customers=customers_of,
    )
