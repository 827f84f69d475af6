"""Habits, rhythm, fatigue and stages of users as of a day and the day after, on which what came late counts too."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from typing import Any

import pytest
from pyspark.sql import DataFrame, SparkSession

from offerlake.config import Settings
from offerlake.features.profiles import user_profiles
from offerlake.features.users import user_features
from offerlake.value.histories import summary

from .shop import Shop, activity, day, shop

D, LATER = day("2025-07-01"), day("2025-07-02")
LATE = "2025-07-01 05:00"
USERS = ("u", "w", "old", "gone", "sent")
Features = Mapping[tuple[date, str], dict[str, Any]]


@pytest.fixture(scope="module")
def berlin(settings: Settings) -> Settings:
    """Settings of a shop in Berlin, two hours before UTC in summer."""
    features = settings.features.model_copy(update={"time_zone": "Europe/Berlin"})
    return settings.model_copy(update={"features": features})


@pytest.fixture(scope="module")
def made(spark: SparkSession) -> Shop:
    """Five users: one with everything, four with little."""
    return shop(
        spark,
        offers=[{"offer_id": "ten", "depth": 0.1}, {"offer_id": "thirty", "depth": 0.3}],
        clicks=[
            {"user_id": "u", "event_time": "2025-05-02 00:00", "product_id": "apple"},  # a Friday, 02:00 in Berlin
            # a Friday, in Berlin half an hour into Saturday
            {"user_id": "u", "event_time": "2025-06-06 22:30", "event_type": "offer_view", "channel": "web"},
            {"user_id": "u", "event_time": "2025-06-08 10:00", "event_type": "search", "query": " Red  SHOES",
             "channel": "App"},  # a Sunday, 12:00 in Berlin
            {"user_id": "u", "event_time": "2025-06-09 17:00", "event_type": "offer_view", "arrived_at": LATE},
            {"user_id": "u", "event_time": "2025-06-10 08:00", "event_type": "search", "query": "red shoes ",
             "arrived_at": LATE},
            {"user_id": "old", "event_time": "2024-06-01 12:00", "product_id": "apple"},
        ],
        order_lines=[{"product_id": "apple", **line} for line in (
            {"user_id": "u", "order_time": "2025-05-02 12:00", "quantity": 2, "discount": 4},
            {"user_id": "u", "order_time": "2025-05-12 12:00", "discount": 1},
            {"user_id": "u", "order_time": "2025-06-01 12:00", "discount": 5, "arrived_at": LATE},  # a Sunday
            {"user_id": "u", "order_time": "2025-06-11 12:00", "order_id": "two lines"},
            {"user_id": "u", "order_time": "2025-06-11 12:00", "order_id": "two lines", "line_id": "2"},
            {"user_id": "w", "order_time": "2025-06-01 12:00"},
            {"user_id": "w", "order_time": "2025-06-05 12:00"},
            {"user_id": "old", "order_time": "2024-07-02 12:00", "unit_price": 3},  # 364 days before D
            {"user_id": "old", "order_time": "2024-07-10 12:00", "unit_price": 5, "arrived_at": LATE},
            {"user_id": "old", "order_time": "2024-07-29 12:00", "unit_price": 7},
            {"user_id": "old", "order_time": "2024-07-30 12:00", "unit_price": 9},
            {"user_id": "gone", "order_time": "2024-01-01 12:00"},
        )],
        exposures=[
            {"user_id": "u", "offer_id": "ten", "shown_at": "2025-05-10 09:00", "channel": "app"},
            {"user_id": "u", "offer_id": "thirty", "shown_at": "2025-06-01 00:00", "channel": "email"},
            {"user_id": "u", "offer_id": "ten", "shown_at": "2025-06-20 09:00", "channel": "app"},  # still open
            {"user_id": "sent", "offer_id": "thirty", "shown_at": "2025-05-01 09:00", "channel": "email"},
        ],
        redemptions=[
            {"user_id": "u", "offer_id": "ten", "redeemed_at": "2025-05-12 12:00"},
            {"user_id": "u", "offer_id": "thirty", "redeemed_at": "2025-06-10 12:00", "arrived_at": LATE},
        ],
    )  # fmt: skip


@pytest.fixture(scope="module")
def daily(made: Shop, berlin: Settings) -> dict[str, DataFrame]:
    """What they did by day."""
    return activity(made, berlin)


def _features(
    spark: SparkSession, made: Shop, daily: dict[str, DataFrame], settings: Settings, *as_ofs: date
) -> Features:
    wanted = spark.createDataFrame([(each, user) for each in as_ofs for user in USERS], "as_of date, user_id string")
    frame = user_features(wanted, as_ofs=as_ofs, **daily, users=made.users, settings=settings.features)
    return {(row.as_of, row.user_id): row.asDict() for row in frame.collect()}


@pytest.fixture(scope="module")
def both(spark: SparkSession, made: Shop, daily: dict[str, DataFrame], berlin: Settings) -> Features:
    """Two days in one pass."""
    return _features(spark, made, daily, berlin, D, LATER)


def test_rhythm(both: Features) -> None:
    u, later = both[D, "u"], both[LATER, "u"]
    usual = (10 + 30 + 4 + 27 + 1) / 5  # gaps of u, w and old that ended in 364 days
    assert u["order_gap_days"] == pytest.approx((10 + 30 + 2 * usual) / 4)
    assert u["order_gap_variation"] == pytest.approx(10 / 20)
    assert u["order_overdue"] == pytest.approx(19.5 / u["order_gap_days"])
    then = (10 + 20 + 10 + 4 + 8 + 19 + 1) / 7  # the late orders part gaps of u and of old
    assert later["order_gap_days"] == pytest.approx((10 + 20 + 10 + 2 * then) / 5)
    assert later["order_gap_variation"] == pytest.approx(((3 * 600 - 1600) / 1600) ** 0.5)
    assert both[D, "w"]["order_gap_variation"] is None
    assert both[D, "sent"]["order_gap_days"] == pytest.approx(usual)
    assert both[D, "sent"]["order_overdue"] is None


def test_trend_and_season(both: Features) -> None:
    u, later = both[D, "u"], both[LATER, "u"]
    assert u["orders_trend"] == pytest.approx((1 + 2) / (28 * 3 / 60 + 2))  # known for 60 days
    assert later["orders_trend"] == pytest.approx((1 + 2) / (28 * 4 / 61 + 2))
    assert u["visits_trend"] == pytest.approx((2 + 2) / (28 * 3 / 60 + 2))
    assert both[D, "gone"]["orders_trend"] == both[D, "sent"]["visits_trend"] == 1.0
    old = both[D, "old"], both[LATER, "old"]
    assert [row["orders_year_ago_28d"] for row in old] == [2, 3]  # of 2 July, of 10 and 30 July
    assert [row["money_year_ago_28d"] for row in old] == [10.0, 21.0]
    assert u["orders_year_ago_28d"] is None
    assert both[D, "gone"]["orders_year_ago_28d"] == 0


def test_fatigue(both: Features) -> None:
    u, later = both[D, "u"], both[LATER, "u"]
    assert (u["ignored_84d"], both[D, "sent"]["ignored_84d"]) == (1, 1)
    assert later["ignored_84d"] == 0  # it was used, as is known now
    assert u["use_rate_84d"] == pytest.approx((1 + 5 * 1 / 4) / (3 + 5))
    assert later["use_rate_84d"] == pytest.approx((2 + 5 * 2 / 4) / (3 + 5))
    assert (u["redemption_recency_days"], later["redemption_recency_days"]) == (49.5, 21.5)
    assert (u["unclicked_offers_84d"], later["unclicked_offers_84d"]) == (1, 2)


def test_basket_and_price(both: Features) -> None:
    u, later = both[D, "u"], both[LATER, "u"]
    assert u["lines_an_order"] == pytest.approx((4 + 2 * 9 / 8) / (3 + 2))
    assert (u["discount_depth_364d"], later["discount_depth_364d"]) == (5 / 30, 10 / 40)
    assert (u["deep_discount_share_364d"], later["deep_discount_share_364d"]) == (1 / 4, 2 / 5)
    assert both[D, "w"]["discount_depth_364d"] is None


def test_what_it_takes_to_use_an_offer(both: Features) -> None:
    u, later = both[D, "u"], both[LATER, "u"]
    sent = (0.1 + 0.3 + 0.1) / 3
    assert u["used_depth_lift"] == pytest.approx((0.1 - sent) / (1 + 5))
    assert later["used_depth_lift"] == pytest.approx((0.4 - 2 * sent) / (2 + 5))
    assert both[D, "sent"]["used_depth_lift"] == 0.0
    assert both[D, "w"]["used_depth_lift"] is None
    assert u["app_use_rate"] == pytest.approx((1 + 5 / 2) / (2 + 5))
    assert (u["message_use_rate"], later["message_use_rate"]) == (0.0, pytest.approx((1 + 5 / 2) / (1 + 5)))


def test_habits(both: Features) -> None:
    u, later = both[D, "u"], both[LATER, "u"]
    assert (u["weekend_share_364d"], later["weekend_share_364d"]) == (2 / 3, 2 / 5)
    assert u["day_part_concentration_364d"] == (2**2 + 1) / 3**2  # two in the night
    assert later["day_part_concentration_364d"] == (2**2 + 1 + 1 + 1) / 5**2
    assert (u["app_share_364d"], later["app_share_364d"]) == (1 / 3, 1 / 5)
    assert (u["searches_84d"], later["searches_84d"]) == (1, 2)
    assert u["search_rate"] == pytest.approx((1 + 2 * 1 / 3) / (3 + 2))
    assert both[D, "w"]["weekend_share_364d"] is None


def test_profiles(made: Shop, daily: dict[str, DataFrame], berlin: Settings) -> None:
    logs = made.tables("clicks", "order_lines", "products")
    rows = user_profiles([D, LATER], daily["category_days"], **logs, settings=berlin.features).collect()
    u = {row.as_of: row for row in rows if row.user_id == "u"}
    assert u[D].channels == {"App": 1 / 2, "web": 1 / 2}
    assert u[D].day_parts == {"night": 2 / 3, "afternoon": 1 / 3}
    assert u[LATER].day_parts == {"night": 2 / 5, "morning": 1 / 5, "afternoon": 1 / 5, "evening": 1 / 5}
    assert (u[D].search_terms, u[LATER].search_terms) == ({"red shoes": 1.0}, {"red shoes": 1.0})
    assert u[D].category_affinity == {}


def test_stages(spark: SparkSession, made: Shop, daily: dict[str, DataFrame], berlin: Settings, both: Features) -> None:
    assert {user: both[D, user]["lifecycle_stage"] for user in USERS} == {
        "u": "active", "w": "new", "old": "dormant", "gone": "lapsed", "sent": "prospect",
    }  # fmt: skip

    def stage(**changed: float) -> str:
        lifecycle = berlin.features.lifecycle.model_copy(update=changed)
        features = berlin.features.model_copy(update={"lifecycle": lifecycle})
        other = berlin.model_copy(update={"features": features})
        return str(_features(spark, made, daily, other, D)[D, "u"]["lifecycle_stage"])

    assert stage(loyal_orders=3) == "loyal"
    assert stage(loyal_orders=3, cooling_gaps=1.0) == "cooling"


def test_purchases_are_those_of_customers_value(both: Features, daily: dict[str, DataFrame]) -> None:
    u, later = both[D, "u"], both[LATER, "u"]
    names = ("purchase_frequency", "purchase_recency_weeks", "purchase_age_weeks", "purchase_monetary")
    assert [u[name] for name in names] == [2, 40 / 7, 60 / 7, (9 + 20) / 2]
    assert [later[name] for name in names] == [3, 40 / 7, 61 / 7, pytest.approx((9 + 20 + 5) / 3)]
    assert [both[D, "sent"][name] for name in names] == [0, 0.0, None, None]
    for as_of in (D, LATER):
        customers = {
            row.user_id: [row.frequency, row.recency_days / 7, row.age_days / 7, row.monetary]
            for row in summary(as_of, daily["days"]).collect()
        }
        assert {user: [both[as_of, user][name] for name in names] for user in customers} == customers
        assert len(customers) == 4
