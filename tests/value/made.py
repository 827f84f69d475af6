"""Customers whose purchases follow BG/NBD and gamma-gamma with known parameters, and CDNOW's real ones."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path

import numpy as np
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from offerlake.features.rhythm import with_rhythm
from offerlake.schemas import table
from offerlake.value.bgnbd import Histories
from offerlake.value.gammagamma import Spendings
from offerlake.value.likelihood import Numbers

START = date(2025, 1, 6)


def cdnow() -> np.ndarray:
    """Distinct frequency, recency, age (weeks), mean value, and customers; see data/README.md."""
    return np.genfromtxt(Path(__file__).parent / "data" / "cdnow.csv", delimiter=",", names=True)


def cdnow_histories() -> Histories:
    rows = cdnow()
    return Histories(*(np.asarray(rows[name]) for name in ("frequency", "recency", "age", "customers")))


def cdnow_spendings() -> Spendings:
    rows = cdnow()
    paying = rows[rows["value"] > 0]
    return Spendings(paying["frequency"], paying["value"], np.log(paying["value"]), paying["customers"])


@dataclass(frozen=True)
class Simulated:
    """Customers: their summary over [0, age], and purchases in (age, age + ahead]."""

    frequency: Numbers
    recency: Numbers
    age: Numbers
    alive: Numbers
    later: Numbers


def simulate(
    customers: int, *, r: float, alpha: float, a: float, b: float, age: float, ahead: float, seed: int
) -> Simulated:
    """Draws each customer's rate, drop-out and purchases; ages are uniform between age / 2 and age."""
    random = np.random.default_rng(seed)
    rate, leaves = random.gamma(r, 1 / alpha, customers), random.beta(a, b, customers)
    ages = random.uniform(age / 2, age, customers)
    clock, alive = np.zeros(customers), np.ones(customers, dtype=bool)
    x, recency, later = np.zeros(customers), np.zeros(customers), np.zeros(customers)
    gone_before = np.zeros(customers, dtype=bool)
    while True:
        clock = clock + random.exponential(1 / np.maximum(rate, 1e-300))
        buys = alive & (clock <= ages + ahead)
        if not buys.any():
            break
        seen = buys & (clock <= ages)
        x, recency = x + seen, np.where(seen, clock, recency)
        later += buys & ~seen
        drops = buys & (random.uniform(size=customers) < leaves)
        gone_before |= drops & seen
        alive = buys & ~drops
    return Simulated(x, recency, ages, (~gone_before).astype(float), later)


def grouped(made: Simulated) -> Histories:
    return Histories(made.frequency, made.recency, made.age, np.ones(len(made.age)))


def purchases(customers: int, *, days: int, seed: int) -> list[tuple[str, int, int]]:
    """(user, day, ten-thousandths spent) of customers who come for the first time in the first half of so many days.

    Rates a week are Gamma(1.5, 2), drop-outs Beta(1, 5), values log-normal about 20 with a mean of the customer's own.
    """
    random = np.random.default_rng(seed)
    rows = []
    for number in range(customers):
        rate, leaves, level = random.gamma(1.5, 1 / 2.0), random.beta(1, 5), random.lognormal(3.0, 0.5)
        day = random.uniform(0, days / 2)
        seen: set[int] = set()
        while day < days:
            if int(day) not in seen:
                rows.append((f"u{number:04d}", int(day), int(1e4 * random.lognormal(np.log(level), 0.3))))
                seen.add(int(day))
                if len(seen) > 1 and random.uniform() < leaves:
                    break
            day += 7 * random.exponential(1 / rate)
    return rows


def user_days(spark: SparkSession, rows: list[tuple[str, int, int, int, int]]) -> DataFrame:
    """The table from (user, day, counts from day, orders, ten-thousandths spent); days are counted from START."""
    contract = table("user_days")
    dated = [(user, START + timedelta(days=day), START + timedelta(days=since), *of) for user, day, since, *of in rows]
    columns = "user_id string, event_day date, since date, orders bigint, spent bigint"
    known = with_rhythm(spark.createDataFrame(dated, columns))
    rest = {
        column.name: F.lit(None).cast(column.type) for column in contract.columns if column.name not in known.columns
    }
    return contract.select(known.withColumns(rest))
