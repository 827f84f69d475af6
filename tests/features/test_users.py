"""User features of several days in one pass, at the borders of windows and clocks, and equal to single days."""

from __future__ import annotations

from datetime import date
from typing import Any

import pytest
from pyspark.sql import DataFrame, SparkSession

from offerlake.config import Settings
from offerlake.features.profiles import user_profiles
from offerlake.features.users import known_users, user_features

from .shop import Shop, activity, day, shop

D = day("2025-03-10")
EARLIER, LATER = day("2025-03-01"), day("2025-03-11")
Features = dict[tuple[date, str], dict[str, Any]]


def _made(spark: SparkSession) -> Shop:
    return shop(
        spark,
        products=[
            {"product_id": "apple", "price": 1, "brand": "A"},
            {"product_id": "melon", "price": 4, "brand": "B"},
            {"product_id": "grape", "price": 3},
            {"product_id": "lamp", "price": 20, "category": "Home > Lamps", "brand": "A"},
            {"product_id": "lamp", "price": 20, "category": "Garden", "brand": "A", "arrived_at": "2025-03-10 08:00"},
        ],
        users=[
            {"user_id": "u", "signup_time": "2025-02-28 00:00", "age_band": "18-24", "region": "north"},
            {"user_id": "u", "signup_time": "2025-02-28 00:00", "age_band": "25-34", "arrived_at": "2025-03-09 23:59"},
            {"user_id": "u", "signup_time": "2025-02-28 00:00", "age_band": "65+", "arrived_at": "2025-03-10 00:00"},
            {"user_id": "quiet"},
            {"user_id": "future", "signup_time": "2025-03-10 00:00"},
        ],
        offers=[{"offer_id": "ten", "depth": 0.1}, {"offer_id": "gift", "kind": "gift"}],
        clicks=[
            # a session of the 3rd: two views, a cart, an offer seen and clicked
            {"user_id": "u", "event_time": "2025-03-03 10:00", "product_id": "apple"},
            {"user_id": "u", "event_time": "2025-03-03 10:30", "product_id": "lamp"},
            {"user_id": "u", "event_time": "2025-03-03 10:31", "product_id": "lamp", "event_type": "add_to_cart"},
            {"user_id": "u", "event_time": "2025-03-03 10:40", "offer_id": "ten", "event_type": "offer_view"},
            {"user_id": "u", "event_time": "2025-03-03 10:41", "offer_id": "ten", "event_type": "offer_click"},
            # a second one, more than half an hour later
            {"user_id": "u", "event_time": "2025-03-03 11:12", "event_type": "search", "query": "lamp"},
            # seven days before D and a moment earlier
            {"user_id": "u", "event_time": "2025-02-10 00:00", "product_id": "melon"},
            {"user_id": "u", "event_time": "2025-02-09 23:00", "product_id": "melon"},
            # happened before D, arrived when D began: a view of the unknown future
            {"user_id": "u", "event_time": "2025-03-09 20:00", "arrived_at": "2025-03-10", "product_id": "grape"},
            {"user_id": "u", "event_time": "2025-03-10 00:00", "product_id": "grape"},
            {"user_id": "v", "event_time": "2025-03-09 23:59:59", "offer_id": "gift", "event_type": "offer_click"},
            {"anonymous_id": "x", "event_time": "2025-03-09 12:00", "product_id": "apple"},
        ],
        order_lines=[
            {"order_id": "1", "line_id": "1", "user_id": "u", "product_id": "apple", "order_time": "2025-03-04 12:00",
             "quantity": 4, "unit_price": 1, "discount": 1},
            {"order_id": "1", "line_id": "2", "user_id": "u", "product_id": "melon", "order_time": "2025-03-04 12:00",
             "quantity": 1, "unit_price": 4, "discount": 0, "coupon_amount": 0.5},
            {"order_id": "1", "line_id": "3", "user_id": "u", "product_id": "melon", "order_time": "2025-03-06 12:00",
             "quantity": -1, "unit_price": 4, "discount": 0, "coupon_amount": 0.5},
            {"order_id": "2", "user_id": "w", "product_id": "lamp", "order_time": "2025-01-01", "unit_price": 21.5,
             "coupon_amount": 0},
        ],
        exposures=[
            {"exposure_id": "e1", "user_id": "u", "offer_id": "ten", "shown_at": "2025-02-20 09:00"},
            {"exposure_id": "e2", "user_id": "u", "offer_id": "ten", "shown_at": "2025-03-05 09:00"},
            {"exposure_id": "e3", "user_id": "u", "shown_at": "2025-03-05 09:00"},
        ],
        redemptions=[
            {"user_id": "u", "offer_id": "ten", "redeemed_at": "2025-03-04 12:00"},  # within 14 days of e1
            {"user_id": "u", "offer_id": "ten", "redeemed_at": "2025-03-04 12:00"},
            {"user_id": "u", "offer_id": "ten", "redeemed_at": "2025-03-09 12:00", "arrived_at": "2025-03-10 07:00"},
        ],
    )  # fmt: skip


def _features(
    made: Shop, daily: dict[str, DataFrame], settings: Settings, wanted: DataFrame, as_ofs: list[date]
) -> Features:
    frame = user_features(wanted, as_ofs=as_ofs, **daily, users=made.users, settings=settings.features)
    return {(row.as_of, row.user_id): row.asDict() for row in frame.collect()}


@pytest.fixture(scope="module")
def made(spark: SparkSession) -> Shop:
    """The shop of these tests."""
    return _made(spark)


@pytest.fixture(scope="module")
def daily(made: Shop, settings: Settings) -> dict[str, DataFrame]:
    """What they did by day."""
    return activity(made, settings)


@pytest.fixture(scope="module")
def several(spark: SparkSession, settings: Settings, made: Shop, daily: dict[str, DataFrame]) -> Features:
    """Three days in one pass."""
    users = ("u", "v", "w", "quiet")
    wanted = spark.createDataFrame(
        [(each, user) for each in (EARLIER, D, LATER) for user in users], "as_of date, user_id string"
    )
    return _features(made, daily, settings, wanted, [EARLIER, D, LATER])


def test_every_known_user_has_a_row_and_one_to_sign_up_has_none(made: Shop, daily: dict[str, DataFrame]) -> None:
    rows = known_users([D], users=made.users, days=daily["days"]).collect()
    assert sorted(row.user_id for row in rows) == ["quiet", "u", "v", "w"]
    before = known_users([day("2025-01-01")], users=made.users, days=daily["days"]).collect()
    assert sorted(row.user_id for row in before) == ["quiet"]


def test_visits(several: Features) -> None:
    u = several[D, "u"]
    assert (u["sessions_7d"], u["sessions_28d"], u["sessions_84d"]) == (2, 3, 4)
    assert (u["views_28d"], u["views_84d"], u["carts_28d"], u["searches_84d"]) == (3, 4, 1, 1)
    assert (u["cart_rate_84d"], u["conversion_84d"]) == (1 / 4, 1 / 4)
    assert u["visit_recency_days"] == pytest.approx(6 + (12 * 60 + 48) / 1440)
    assert several[LATER, "u"]["views_28d"] == 4  # the late one and that of the 10th; melon's is out of the window
    assert several[EARLIER, "u"]["views_28d"] == 2


def test_money(several: Features) -> None:
    u = several[D, "u"]
    assert (u["orders_28d"], u["money_28d"], u["units_364d"]) == (1, 3.0, 5)
    assert (u["order_value_364d"], u["returned_share_364d"]) == (7.0, 0.2)
    assert (u["discount_share_364d"], u["discounted_share_364d"]) == (1 / 8, 1 / 2)
    assert (several[D, "quiet"]["returned_share_364d"], several[D, "quiet"]["discount_share_364d"]) == (None, None)
    assert (u["coupon_lines_364d"], several[D, "w"]["coupon_lines_364d"]) == (1, 0)
    assert u["order_recency_days"] == 5.5
    # The shop's mean order is (7 + 21.5) / 2; two such orders are added.
    assert u["typical_order_value"] == pytest.approx((7 + 2 * 14.25) / 3)
    assert several[D, "quiet"]["typical_order_value"] == 14.25
    assert several[D, "w"]["orders_84d"] == 1
    assert several[EARLIER, "u"]["order_recency_days"] is None


def test_offers(several: Features) -> None:
    u = several[D, "u"]
    assert (u["offer_views_84d"], u["offer_clicks_84d"]) == (1, 1)
    # The shop: 5 sessions, one click on each kind.
    assert u["click_rate_percent_off"] == pytest.approx((1 + 2 / 5) / (4 + 2))
    assert u["click_rate_gift"] == pytest.approx((0 + 2 / 5) / (4 + 2))
    assert several[D, "v"]["click_rate_gift"] == pytest.approx((1 + 2 / 5) / (1 + 2))
    assert several[D, "quiet"]["offer_click_rate"] == pytest.approx(2 / 5)
    assert (u["exposures_84d"], u["redemptions_364d"], u["redemption_rate_364d"]) == (2, 2, 0.5)
    assert several[LATER, "u"]["redemption_rate_364d"] == 1.0
    assert several[EARLIER, "u"]["redemption_rate_364d"] == 0.0
    assert several[D, "quiet"]["redemption_rate_364d"] is None


def test_interests(several: Features) -> None:
    u = several[D, "u"]
    # Views of apple, lamp and twice melon, bought lines of apple and melon: prices' ranks 0, 0 and 1, 1.
    assert (u["signs_364d"], u["categories_364d"], u["top_category_share"]) == (6, 2, 5 / 6)
    assert u["viewed_price_position_364d"] == 2 / 4
    assert u["bought_price_position_364d"] == 1 / 2
    assert several[D, "quiet"]["signs_364d"] == 0
    assert several[D, "quiet"]["top_category_share"] is None


def test_who_they_are(several: Features) -> None:
    assert [several[each, "u"]["age_band"] for each in (EARLIER, D, LATER)] == ["18-24", "25-34", "65+"]
    assert several[D, "u"]["region"] is None  # the newest version does not say
    assert several[D, "u"]["tenure_days"] == pytest.approx(28 + 1 / 24)  # the first click is before the signup
    assert several[D, "quiet"]["tenure_days"] is None
    assert several[D, "w"]["tenure_days"] == 68.0


def test_one_day_alone_gives_the_same(
    settings: Settings, made: Shop, daily: dict[str, DataFrame], several: Features
) -> None:
    wanted = known_users([D], users=made.users, days=daily["days"])
    assert _features(made, daily, settings, wanted, [D]) == {key: row for key, row in several.items() if key[0] == D}


def test_profiles_follow_a_product_into_its_new_category(
    settings: Settings, made: Shop, daily: dict[str, DataFrame]
) -> None:
    logs = made.tables("clicks", "order_lines", "products")
    one_brand = settings.features.model_copy(update={"brand_limit": 1})
    rows = user_profiles([D, LATER], daily["category_days"], **logs, settings=one_brand).collect()
    profiles = {row.as_of: row for row in rows if row.user_id == "u"}
    assert profiles[D].category_affinity == {"Food": 5 / 6, "Home": 1 / 6}
    assert profiles[LATER].category_affinity == {"Food": 7 / 8, "Garden": 1 / 8}
    assert profiles[D].brand_affinity == {"A": 3 / 6}  # as often as B: the first by name
