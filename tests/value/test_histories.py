"""What counts as a purchase, on both clocks; and that nothing is lost where histories are counted."""

from __future__ import annotations

from datetime import timedelta

import numpy as np
import pytest
from pyspark.sql import DataFrame, SparkSession

from offerlake.value.bgnbd import fit
from offerlake.value.histories import histories, outcomes, spendings, summary
from value import made

DAY = {number: made.START + timedelta(days=number) for number in range(200)}


@pytest.fixture(scope="module")
def days(spark: SparkSession) -> DataFrame:
    """Two purchases and a return for `often`; `late` is known a week later; `looks` has visited only."""
    rows = [
        ("often", 0, 1, 1, 100_000),
        ("often", 10, 11, 2, 250_000),  # two orders on one day are one purchase
        ("often", 10, 13, 0, 50_000),  # a line of that day that arrived later
        ("often", 20, 21, 0, 0),  # a return
        ("often", 30, 31, 1, 400_000),
        ("once", 29, 30, 1, 70_000),
        ("late", 5, 6, 1, 10_000),
        ("late", 12, 40, 1, 30_000),
        ("looks", 3, 4, 0, 0),
    ]
    return made.user_days(spark, rows)


def _rows(frame: DataFrame, *names: str) -> dict[str, tuple[object, ...]]:
    return {row["user_id"]: tuple(row[name] for name in names) for row in frame.collect()}


def test_a_customer_is_what_had_happened_and_arrived(days: DataFrame) -> None:
    names = ("frequency", "recency_days", "age_days", "monetary", "purchases_28d", "purchases_84d", "money_84d")
    found = _rows(summary(DAY[35], days), *names)
    assert found == {
        "often": (2, 30, 35, 35.0, 2, 3, 80.0),
        "once": (0, 0, 6, None, 1, 1, 7.0),
        "late": (0, 0, 30, None, 0, 1, 1.0),
    }
    assert _rows(summary(DAY[40], days), *names)["late"] == (1, 7, 35, 3.0, 1, 2, 4.0)
    assert _rows(summary(DAY[12], days), *names)["often"] == (1, 10, 12, 25.0, 2, 2, 35.0)
    assert summary(DAY[0], days).count() == 0


def test_outcomes_are_of_the_window_and_known_at_its_end(days: DataFrame) -> None:
    known = summary(DAY[11], days)
    assert set(_rows(known)) == {"often", "late"}
    window = {"cut": DAY[11], "as_of": DAY[35]}
    assert _rows(outcomes(known, days, **window), "purchases", "money") == {"often": (1, 40.0), "late": (0, 0.0)}
    window = {"cut": DAY[10], "as_of": DAY[40]}
    assert _rows(outcomes(known, days, **window), "purchases", "money") == {"often": (2, 70.0), "late": (1, 3.0)}


def test_histories_are_counted_by_days_or_more_coarsely(spark: SparkSession) -> None:
    rows = [(user, day, day + 1, 1, spent) for user, day, spent in made.purchases(1500, days=180, seed=3)]
    customers = summary(DAY[180], made.user_days(spark, rows)).cache()

    whole, grain = histories(customers, most=10_000)
    assert grain == 1
    assert whole.customers.sum() == 1500
    assert (whole.recency <= whole.age).all()
    coarse, grain = histories(customers, most=1200)
    assert grain == 7
    assert len(coarse.customers) <= 1200 < len(whole.customers)
    assert coarse.customers.sum() == 1500
    assert coarse.customers @ coarse.age == pytest.approx(whole.customers @ whole.age, rel=1e-12)
    exact, rough = fit(whole), fit(coarse)
    for name in ("r", "alpha", "a", "b"):
        assert getattr(rough, name) == pytest.approx(getattr(exact, name), rel=0.02), "a week hardly matters"

    other, _ = histories(customers.repartition(7, "recency_days"), most=10_000)
    for name in ("frequency", "recency", "age", "customers"):
        assert np.array_equal(getattr(other, name), getattr(whole, name)), "to the last bit"

    spent, fewer = spendings(customers, most=10_000), spendings(customers, most=60)
    assert len(fewer.customers) <= 60 < len(spent.customers)
    assert fewer.customers.sum() == spent.customers.sum() == customers.where("frequency > 0").count()
    assert fewer.customers @ fewer.log_value == pytest.approx(spent.customers @ spent.log_value, rel=1e-9)
    assert spent.customers @ spent.value == pytest.approx(
        customers.where("frequency > 0").selectExpr("sum(monetary)").collect()[0][0], rel=1e-6
    )
