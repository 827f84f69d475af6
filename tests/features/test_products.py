"""Products as of a day."""

from __future__ import annotations

import pytest
from pyspark.sql import SparkSession

from offerlake.config import Settings
from offerlake.features.products import product_features

from .shop import day, shop


def test_prices_costs_places_and_sales(spark: SparkSession, settings: Settings) -> None:
    made = shop(
        spark,
        products=[
            {"product_id": "a", "price": 4, "unit_cost": 1, "brand": "B"},
            {"product_id": "a", "price": 6, "unit_cost": 2, "brand": "B", "arrived_at": "2025-03-09 23:59"},
            {"product_id": "a", "price": 9, "arrived_at": "2025-03-10 00:00"},  # not known yet
            {"product_id": "b", "price": 8},
            {"product_id": "c", "category": "Food"},  # no list price: what was paid
            {"product_id": "d", "category": "Home > Lamps", "price": 1, "arrived_at": "2025-06-01"},  # always known
        ],
        clicks=[
            {"anonymous_id": "x", "product_id": "a", "event_time": "2025-03-09 12:00"},
            {"user_id": "u", "product_id": "a", "event_time": "2025-02-10 00:00"},  # just within 28 days
            {"user_id": "u", "product_id": "a", "event_time": "2025-02-09 23:59"},
            {"user_id": "u", "product_id": "a", "event_time": "2025-03-09 12:00", "event_type": "add_to_cart"},
        ],
        order_lines=[
            {"user_id": "u", "product_id": "c", "order_time": "2025-01-09", "quantity": 3, "unit_price": 4},
            {"user_id": "v", "product_id": "c", "order_time": "2025-03-01", "quantity": 1, "unit_price": 8},
            {"user_id": "v", "product_id": "c", "order_time": "2025-03-02", "quantity": -1, "unit_price": 8},
            {"user_id": "w", "product_id": "c", "order_time": "2025-03-09", "arrived_at": "2025-03-10"},
        ],
    )
    got = product_features(
        day("2025-03-10"), **made.tables("products", "clicks", "order_lines"), settings=settings.features
    )
    rows = {r.product_id: r for r in got.collect()}
    assert [rows[key].price for key in "abcd"] == [6.0, 8.0, 5.0, 1.0]
    assert [rows[key].price_position for key in "abcd"] == [0.5, 1.0, 0.0, 0.0]
    assert [rows[key].top_category for key in "abcd"] == ["Food", "Food", "Food", "Home"]
    assert rows["a"].unit_cost == 2.0
    assert rows["b"].unit_cost == pytest.approx((1 - settings.features.margin_rate) * 8)
    assert (rows["a"].views_28d, rows["b"].views_28d) == (2, 0)
    assert (rows["c"].buyers_28d, rows["c"].buyers_364d, rows["c"].units_364d) == (1, 2, 3.0)
