"""What a use of an offer costs, on a planted shop."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from pyspark.sql import SparkSession

from offerlake.config import Settings
from offerlake.response.uplift import train_uplift
from offerlake.response.worth import Uses
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
