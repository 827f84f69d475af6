"""Weights of user and product, by age and kind of event."""

from __future__ import annotations

import pytest
from pyspark.sql import SparkSession

from offerlake.features.interactions import interactions

from .shop import day, shop

WEIGHTS = {"view": 1.0, "add_to_cart": 3.0, "purchase": 6.0}


def test_weights_halve_with_age_and_purchases_count_once(spark: SparkSession) -> None:
    made = shop(
        spark,
        clicks=[
            {"user_id": "u", "product_id": "a", "event_time": "2025-03-09 12:00"},  # 1 day old
            {
                "user_id": "u",
                "product_id": "a",
                "event_time": "2025-02-28 12:00",
                "event_type": "add_to_cart",
            },  # 10 days
            {"user_id": "u", "product_id": "a", "event_time": "2025-03-09 12:30", "event_type": "purchase"},
            {"user_id": "u", "product_id": "b", "event_time": "2025-03-09 12:00", "known_product": False},
            {"anonymous_id": "x", "product_id": "b", "event_time": "2025-03-09 12:00"},
            {"user_id": "u", "product_id": "c", "event_time": "2025-03-10 00:00"},  # not before the day
            {"user_id": "u", "product_id": "c", "event_time": "2025-03-09", "arrived_at": "2025-03-10"},  # nor arrived
        ],
        order_lines=[
            {"user_id": "u", "product_id": "a", "order_time": "2025-02-28 13:00", "quantity": 2},
            {"user_id": "u", "product_id": "a", "order_time": "2025-03-09 13:00", "quantity": -1},  # a return
            {"user_id": "v", "product_id": "d", "order_time": "2025-03-09 13:00"},
        ],
    )
    got = interactions(
        day("2025-03-10"), clicks=made.clicks, order_lines=made.order_lines, weights=WEIGHTS, half_life_days=10
    )
    rows = {(r.user_id, r.product_id): r for r in got.collect()}
    assert set(rows) == {("u", "a"), ("v", "d")}
    assert rows["u", "a"].weight == pytest.approx(0.5**0.1 + 3 * 0.5 + 6 * 0.5, abs=1e-8)
    assert rows["u", "a"].purchases == 1
    assert str(rows["u", "a"].last_time) == "2025-03-09 12:00:00"
    assert rows["v", "d"].weight == pytest.approx(6 * 0.5**0.1, abs=1e-8)
