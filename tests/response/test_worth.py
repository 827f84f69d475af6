"""What a use of an offer costs, on a planted shop."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from pyspark.sql import SparkSession

from offerlake.config import Settings
from offerlake.response.uplift import train_uplift
from offerlake.response.worth import Uses
from offerlake.response.worth import _uses as uses_of
from response.planted import ARMS, Shop, frame, shop


@pytest.fixture(scope="module")
def planted() -> Shop:
    return shop(users=6000, rounds=4, choosy=True)


def _uses(spark: SparkSession, planted: Shop, settings: Settings) -> dict[str, Uses]:
    found = train_uplift(
        frame(spark, planted.rows),
        None,
        label="responded",
        seed=7,
        folds=2,
        settings=settings.uplift,
        contact_cost=settings.decide.contact_cost,
    )
    return found.model.worth[0].uses


def test_offers_that_larger_baskets_use_cost_what_they_took_off(
    spark: SparkSession, planted: Shop, settings: Settings
) -> None:
    rows = planted.rows
    with_offer = rows[rows["offer_id"] == "twenty"]
    larger = with_offer[with_offer["redeemed"] == 1]["use_value"].mean()
    usual = ARMS["twenty"][1] * planted.basket.mean()
    assert larger / usual > 1.15

    told = _uses(spark, planted, settings)
    assert told["twenty"].factor == pytest.approx(larger / usual, rel=0.1)
    assert told["gift"].factor == pytest.approx(1.0, abs=0.02)

    silent = _uses(spark, replace(planted, rows=rows.assign(use_value=np.nan)), settings)
    assert silent["twenty"].factor < 0.9 * told["twenty"].factor, "the larger baskets hide what was given"


def test_who_likes_what_is_in_scope_uses_an_offer_more() -> None:
    """Buyers, uses, three sums of money, then Σ s, Σ s² and Σ s·used of the scope affinity s."""
    rng = np.random.default_rng(5)
    liking = rng.normal(0.5, 1.0, size=6000)
    used = rng.uniform(size=6000) < np.clip(0.4 + 0.1 * (liking - 0.5), 0, 1)
    many = np.array([6000, used.sum(), 1, 1, 1, liking.sum(), (liking**2).sum(), liking[used].sum()])
    few = np.array([2, 1, 1, 1, 1, 5.0, 12.5, 2.5])
    everything = np.array([1000, 700, 1, 1, 1, 0, 0, 0], dtype=float)
    found = uses_of([{"percent_off\nbeauty": many, "percent_off\nnew": few, "gift\nmug": everything}])
    assert found["beauty"].slope == found["new"].slope == pytest.approx(0.1, abs=0.02)
    assert found["beauty"].rate == pytest.approx(0.4, abs=0.03)
    assert found["beauty"].middle == pytest.approx(0.5, abs=0.05)
    assert found["new"].middle < 0.8, "two buyers say little: it is drawn to the kind's"
    assert (found["mug"].rate, found["mug"].middle) == (pytest.approx(0.7, abs=0.01), 0.0)
