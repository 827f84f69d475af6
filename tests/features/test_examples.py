"""Examples: label windows, what counts in them, and what an offer is to a user."""

from __future__ import annotations

from typing import Any

import pytest
from pyspark.sql import SparkSession

from offerlake.config import Settings
from offerlake.features.examples import Counts, counts, examples, known_exposures
from offerlake.features.labels import with_window

from .shop import Shop, activity, day, shop

AS_OF = day("2025-03-20")
CONTACT = {"email": 0.25}
Rows = dict[str, dict[str, Any]]


def _made(spark: SparkSession) -> Shop:
    return shop(
        spark,
        products=[
            {"product_id": "apple", "category": "Food > Fruit", "price": 2, "unit_cost": 1, "brand": "A"},
            {"product_id": "bread", "category": "Food > Bakery", "price": 3, "brand": "B"},
            {"product_id": "lamp", "category": "Home", "price": 30, "unit_cost": 10, "brand": "A"},
            {"product_id": "lamp", "category": "Home", "price": 30, "unit_cost": 12, "arrived_at": "2025-03-03 12:00"},
        ],
        users=[{"user_id": user} for user in "uvwx"],
        offers=[
            {"offer_id": "fruit", "depth": 0.2, "scope": "category", "scope_values": ["Food > Fruit"],
             "cost_per_redemption": 0.5},
            {"offer_id": "food", "kind": "amount_off", "depth": 5.0, "min_spend": 20, "scope": "category",
             "scope_values": ["Food", "Food > Fruit"]},
            {"offer_id": "brand", "kind": "gift", "scope": "brand", "scope_values": ["A", "B"]},
            {"offer_id": "list", "kind": "coupon_book", "scope": "products"},
            {"offer_id": "all", "kind": "amount_off", "depth": 50.0, "campaign_type": "spring"},
            {"offer_id": "all", "kind": "amount_off", "depth": 60.0, "arrived_at": "2025-03-04"},
        ],
        offer_products=[
            {"offer_id": "list", "product_id": "bread", "coupon_id": "1"},
            {"offer_id": "list", "product_id": "bread", "coupon_id": "2"},
            {"offer_id": "list", "product_id": "lamp", "coupon_id": "2"},
            {"offer_id": "list", "product_id": "unheard of", "coupon_id": "2"},
        ],
        clicks=[
            {"user_id": "u", "product_id": "apple", "event_time": "2025-02-01 10:00"},
            {"user_id": "u", "product_id": "lamp", "event_time": "2025-02-01 10:05"},
            {"user_id": "u", "event_type": "offer_click", "offer_id": "fruit", "event_time": "2025-02-01 10:06"},
            {"user_id": "u", "product_id": "bread", "event_time": "2025-03-03 08:00"},  # the day shown itself
        ],
        order_lines=[
            # before: two apples and a bread
            {"order_id": "0", "line_id": "1", "user_id": "u", "product_id": "apple", "order_time": "2025-02-20 12:00",
             "quantity": 2, "unit_price": 2},
            {"order_id": "0", "line_id": "2", "user_id": "u", "product_id": "bread", "order_time": "2025-02-20 12:00",
             "quantity": 1, "unit_price": 3},
            # in the window, at its first moment: 4 apples with 1 off, a lamp at its newer cost
            {"order_id": "1", "line_id": "1", "user_id": "u", "product_id": "apple", "order_time": "2025-03-03 09:00",
             "quantity": 4, "unit_price": 2, "discount": 1},
            {"order_id": "1", "line_id": "2", "user_id": "u", "product_id": "lamp", "order_time": "2025-03-04 09:00",
             "quantity": 1, "unit_price": 30},
            # bread has no cost: 70 % of the price before discounts, and it comes back
            {"order_id": "1", "line_id": "3", "user_id": "u", "product_id": "bread", "order_time": "2025-03-05 09:00",
             "quantity": 2, "unit_price": 3, "discount": 1},
            {"order_id": "1", "line_id": "4", "user_id": "u", "product_id": "bread", "order_time": "2025-03-06 09:00",
             "quantity": -1, "unit_price": 3, "discount": 0},
            # the window's end is not in it; the last moment is, if it arrives in time
            {"order_id": "2", "user_id": "u", "product_id": "apple", "order_time": "2025-03-17 09:00"},
            {"order_id": "3", "user_id": "v", "product_id": "apple", "order_time": "2025-03-17 08:59",
             "arrived_at": "2025-03-19 08:59", "unit_price": 2},
            {"order_id": "4", "user_id": "w", "product_id": "apple", "order_time": "2025-03-17 08:59",
             "arrived_at": "2025-03-19 09:00"},
            # a return alone is no purchase
            {"order_id": "5", "user_id": "x", "product_id": "apple", "order_time": "2025-03-10", "quantity": -1,
             "unit_price": 2},
        ],
        exposures=[
            {"exposure_id": "u fruit", "user_id": "u", "offer_id": "fruit", "channel": "email",
             "shown_at": "2025-03-03 09:00", "propensity": 0.1},
            {"exposure_id": "u food", "user_id": "u", "offer_id": "food", "channel": "app",
             "shown_at": "2025-03-03 09:00"},
            {"exposure_id": "u brand", "user_id": "u", "offer_id": "brand", "shown_at": "2025-03-03 09:00"},
            {"exposure_id": "u list", "user_id": "u", "offer_id": "list", "shown_at": "2025-03-03 09:00"},
            {"exposure_id": "u all", "user_id": "u", "offer_id": "all", "shown_at": "2025-03-03 09:00"},
            {"exposure_id": "u all later", "user_id": "u", "offer_id": "all", "shown_at": "2025-03-05 09:00"},
            {"exposure_id": "v nothing", "user_id": "v", "channel": "email", "shown_at": "2025-03-03 09:00"},
            {"exposure_id": "w nothing", "user_id": "w", "shown_at": "2025-03-03 09:00"},
            {"exposure_id": "x fruit", "user_id": "x", "offer_id": "fruit", "shown_at": "2025-03-03 09:00"},
            # open: its labels are final on the 20th at 00:01; and one that has not arrived
            {"exposure_id": "open", "user_id": "u", "offer_id": "all", "shown_at": "2025-03-04 00:01"},
            {"exposure_id": "unknown", "user_id": "u", "shown_at": "2025-03-01", "arrived_at": "2025-03-20"},
        ],
        redemptions=[
            {"user_id": "u", "offer_id": "fruit", "redeemed_at": "2025-03-03 09:00", "value": 0.75},
            {"user_id": "u", "offer_id": "fruit", "redeemed_at": "2025-03-04 09:00", "value": 0.5},
            {"user_id": "u", "offer_id": "food", "redeemed_at": "2025-03-17 09:00"},  # after the end
            # too late
            {"user_id": "x", "offer_id": "fruit", "redeemed_at": "2025-03-10", "arrived_at": "2025-03-19 09:00"},
            {"user_id": "v", "offer_id": "fruit", "redeemed_at": "2025-03-10"},  # not sent to v
        ],
    )  # fmt: skip


@pytest.fixture(scope="module")
def made(spark: SparkSession) -> Shop:
    """The shop of these tests."""
    return _made(spark)


@pytest.fixture(scope="module")
def found(made: Shop, settings: Settings) -> Counts:
    """How many exposures there are of each sort."""
    return counts(known_exposures(AS_OF, made.exposures, made.offers, settings=settings.examples))


@pytest.fixture(scope="module")
def rows(made: Shop, settings: Settings, found: Counts) -> Rows:
    """The examples by exposure."""
    names = ("clicks", "order_lines", "redemptions", "offers", "offer_products", "products", "users")
    frame = examples(
        known_exposures(AS_OF, made.exposures, made.offers, settings=settings.examples),
        as_ofs=found.days,
        **activity(made, settings),
        **made.tables(*names),
        features=settings.features,
        contact_cost=CONTACT,
    )
    return {row.exposure_id: row.asDict() for row in frame.collect()}


def test_only_exposures_whose_labels_are_final(found: Counts, rows: Rows) -> None:
    assert (found.final, found.open) == (8, 2)
    assert found.days == (day("2025-03-03"),)
    assert sorted(rows) == [
        "u all", "u brand", "u food", "u fruit", "u list", "v nothing", "w nothing", "x fruit",
    ]  # fmt: skip


def test_labels(rows: Rows) -> None:
    names = ("responded", "redeemed", "net_value")
    labels = {exposure: tuple(row[name] for name in names) for exposure, row in rows.items()}
    # 4 × 2 − 1, a lamp, 2 × 3 − 1, and 3 given back
    assert labels["u fruit"] == (1, 1, 7.0 + 30.0 + 5.0 - 3.0)
    assert labels["u food"] == (1, 0, 39.0)
    assert labels["v nothing"] == (1, 0, 2.0)
    assert labels["w nothing"] == (0, 0, 0.0)
    assert labels["x fruit"] == (0, 0, -2.0)
    assert {exposure: row["use_value"] for exposure, row in rows.items() if row["use_value"]} == {"u fruit": 1.25}


def test_margin_is_net_of_goods_redemption_and_contact(rows: Rows) -> None:
    goods = (7 - 4 * 1) + (30 - 12) + (5 - 2 * 2.1) + (-3 + 2.1)
    assert rows["u fruit"]["margin"] == pytest.approx(goods - 0.5 - 0.25)
    assert rows["u food"]["margin"] == pytest.approx(goods)  # not redeemed; the app costs nothing
    assert rows["v nothing"]["margin"] == pytest.approx(2 - 1)  # nothing was sent
    assert rows["x fruit"]["margin"] == pytest.approx(-2 + 1)


def test_features_end_before_the_day_shown(rows: Rows) -> None:
    row = rows["u fruit"]
    assert (row["views_28d"], row["views_84d"], row["orders_28d"]) == (0, 2, 1)
    assert (row["treatment"], row["propensity"], row["policy"]) == (1, 0.1, "test")
    assert rows["v nothing"]["treatment"] == 0
    assert row["label_end"].isoformat() == "2025-03-17T09:00:00"


def test_what_the_offer_is_to_the_user(rows: Rows) -> None:
    # u's signs: views of apple and lamp, bought lines of apple (2 units) and bread (1 unit).
    names = (
        "scoped",
        "scope_affinity",
        "scope_size",
        "scope_units_364d",
        "scope_products_364d",
        "scope_unit_share_364d",
    )
    context = {name: tuple(row[column] for column in names) for name, row in rows.items()}
    assert context["u fruit"] == (1, 2 / 4, 1, 2, 1, 2 / 3)
    assert context["u food"] == (1, 3 / 4, 2, 3, 2, 1.0)
    assert context["u brand"] == (1, 1.0, 3, 3, 2, 1.0)  # the lamp's brand is known until the 3rd ends
    assert context["u list"] == (1, 2 / 4, 2, 1, 1, 1 / 3)
    assert context["u all"] == (0, 1.0, 0, 3, 0, 1.0)
    assert context["v nothing"] == (0, 0.0, 0, 0, 0, 0.0)
    assert context["x fruit"] == (1, 0.0, 1, 0, 0, 0.0)
    assert rows["u list"]["scope_recency_days"] == 10.5
    assert rows["u all"]["scope_recency_days"] == 10.5
    assert rows["x fruit"]["scope_recency_days"] is None


def test_terms_of_the_offer(rows: Rows) -> None:
    assert rows["u fruit"]["discount_rate"] == 0.2
    assert rows["u food"]["discount_rate"] == 5 / 20  # the minimum is more than u's usual 7
    assert rows["u all"]["discount_rate"] == 1.0
    assert rows["u all"]["depth"] == 50.0  # the version known on the day shown
    assert rows["v nothing"]["kind"] == "none"
    assert rows["v nothing"]["depth"] is None
    assert [rows[key]["campaign_type"] for key in ("u all", "u fruit", "v nothing")] == ["spring", None, None]
    assert rows["u fruit"]["fixed_cost"] == 0.5
    assert (
        rows["u fruit"]["kind_affinity"] == rows["u fruit"]["click_rate_percent_off"] > rows["u food"]["kind_affinity"]
    )
    assert rows["v nothing"]["kind_affinity"] == 0.0


def test_a_campaign_can_end_for_all_arms_at_once(spark: SparkSession, settings: Settings) -> None:
    made = shop(
        spark,
        offers=[
            {"offer_id": "book", "valid_to": "2025-04-01"},
            {"offer_id": "book", "valid_to": "2025-05-01", "arrived_at": "2025-03-02 12:00"},
            {"offer_id": "short", "valid_to": "2025-03-20"},
            {"offer_id": "over", "valid_to": "2025-02-01"},
        ],
        exposures=[
            {"exposure_id": "first", "user_id": "u", "offer_id": "book", "shown_at": "2025-03-02 09:00"},
            {"exposure_id": "later", "user_id": "u", "offer_id": "book", "shown_at": "2025-03-03 09:00"},
            {"exposure_id": "short", "user_id": "v", "offer_id": "short", "shown_at": "2025-03-03 09:00"},
            {"exposure_id": "control", "user_id": "w", "shown_at": "2025-03-03 09:00"},
            {"exposure_id": "another policy", "user_id": "w", "shown_at": "2025-03-03 09:00", "policy": "other"},
            {"exposure_id": "over", "user_id": "v", "offer_id": "over", "shown_at": "2025-03-04 09:00"},
        ],
    )
    common = settings.examples.model_copy(update={"common_end": True})
    ends = {
        row.exposure_id: (row.label_end, row.final_at)
        for row in with_window(made.exposures, made.offers, settings=common).collect()
    }
    naive = {name: tuple(each.isoformat(sep=" ") for each in both) for name, both in ends.items()}
    assert naive == {
        "first": ("2025-04-01 00:00:00", "2025-04-03 00:00:00"),
        "later": ("2025-05-01 00:00:00", "2025-05-03 00:00:00"),
        "short": ("2025-03-20 00:00:00", "2025-03-22 00:00:00"),
        "control": ("2025-05-01 00:00:00", "2025-05-03 00:00:00"),
        "another policy": ("2025-03-17 09:00:00", "2025-03-19 09:00:00"),
        "over": ("2025-03-18 09:00:00", "2025-03-20 09:00:00"),
    }
