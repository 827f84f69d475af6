"""Each feed from bronze to silver: what is good, what is a duplicate, what is refused and why."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pytest
from pyspark.sql import DataFrame, SparkSession

from clean.made import Said, outcomes, parser, raw, rules
from offerlake.clean import clicks, exposures, orders, redemptions
from offerlake.clean.clicks import clean_clicks
from offerlake.clean.exposures import clean_exposures
from offerlake.clean.offer_products import clean_offer_products
from offerlake.clean.offers import clean_offers
from offerlake.clean.orders import clean_orders
from offerlake.clean.parse import Parser
from offerlake.clean.products import clean_products
from offerlake.clean.quarantine import Cleaned
from offerlake.clean.redemptions import clean_redemptions
from offerlake.clean.users import clean_users
from offerlake.config import CleanSettings, Settings, load_settings
from offerlake.errors import DataError

AT, LATER = "2025-01-06T12:00:00Z", "2025-01-06T12:05:00Z"
NOON = datetime(2025, 1, 6, 12, tzinfo=UTC)


@pytest.fixture(scope="module")
def clean(settings: Settings) -> CleanSettings:
    return settings.clean


@pytest.fixture(scope="module")
def known(spark: SparkSession) -> dict[str, Any]:
    return {
        "products": spark.createDataFrame([("p1",), ("p2",)], "product_id string"),
        "users": spark.createDataFrame([("u1",), ("u2",)], "user_id string"),
        "offers": spark.createDataFrame([("o1",)], "offer_id string"),
    }


def cases(
    base: Mapping[str, Any], table: Sequence[tuple[dict[str, Any], str]]
) -> tuple[list[dict[str, Any]], list[str]]:
    return [{**base, **change} for change, _ in table], [wanted for _, wanted in table]


CLICK = {
    "event_id": "e1",
    "user_id": "u1",
    "event_time": AT,
    "arrived_at": LATER,
    "event_type": "view",
    "product_id": "p1",
}


def test_clicks(spark: SparkSession, clean: CleanSettings, known: dict[str, Any]) -> None:
    rows, wanted = cases(
        CLICK,
        [
            ({}, "good"),
            ({"arrived_at": "2025-01-06T13:00:00Z"}, "duplicate"),
            ({"product_id": "p2", "arrived_at": "2025-01-06T14:00:00Z"}, "changed:event_id"),
            ({"event_id": None}, "missing:event_id"),
            ({"event_id": "e4", "user_id": None}, "missing:user_id and anonymous_id"),
            ({"event_id": "e5", "event_time": "soon", "price": "x"}, "unparsable:event_time+unparsable:price"),
            ({"event_id": "e6", "arrived_at": None}, "missing:arrived_at"),
            ({"event_id": "e7", "event_time": "2025-01-06T12:15:01Z"}, "clock_skew:arrived_at"),
            ({"event_id": "e8", "event_time": "2025-01-06T12:14:59Z"}, "good"),
            ({"event_id": "e9", "event_type": "teleport"}, "unknown:event_type"),
            ({"event_id": "e10", "event_type": "impression"}, "good"),
            ({"event_id": "e11", "price": "-1"}, "range:price"),
            ({"event_id": "e12", "quantity": "1.5"}, "unparsable:quantity"),
            ({"event_id": "e13", "product_id": "p9"}, "good"),
            ({"event_id": "e14", "user_id": "u9"}, "good"),
            ({"event_id": "e15", "product_id": " ", "price": "2.50", "quantity": "2"}, "good"),
        ],
    )
    said = Said(values={"event_type": {"impression": "offer_view"}})
    cleaned = clean_clicks(
        raw(spark, "clicks", rows),
        products=known["products"],
        users=known["users"],
        rules=rules(clean, said),
    )
    assert outcomes(cleaned) == wanted
    good = {row["event_id"]: row for row in cleaned.good.collect()}
    assert good["e1"]["arrived_at"].astimezone(UTC).minute == 5
    assert [good[name]["known_product"] for name in ("e1", "e13", "e15")] == [True, False, True]
    assert (good["e15"]["product_id"], good["e15"]["price"], good["e15"]["quantity"]) == (None, Decimal("2.5"), 2)
    assert good["e10"]["event_type"] == "offer_view"
    assert good["e1"]["event_date"] == date(2025, 1, 6)
    refused = {row["reasons"][0]: row for row in cleaned.quarantined.collect()}
    skewed = refused["clock_skew:arrived_at='2025-01-06T12:15:01Z'"]
    assert json.loads(skewed["record"])["event_id"] == "e7"
    assert json.loads(refused["changed:event_id"]["record"])["product_id"] == "p2"
    assert (skewed["feed"], skewed["job"], skewed["source"]) == ("clicks", "clean_clicks", "file")
    assert len({row["record_id"] for row in refused.values()}) == 9
    with cleaned.held() as (_, counts):
        assert counts == {
            "rows_in": 16,
            "rows_out": 6,
            "duplicates": 1,
            "quarantined": 9,
            "quarantined.changed": 1,
            "quarantined.clock_skew": 1,
            "quarantined.missing": 3,
            "quarantined.range": 1,
            "quarantined.unknown": 1,
            "quarantined.unparsable": 2,
            "unknown_users": 1,
            "unknown_products": 1,
        }


def test_unknown_ids_are_refused_by_setting(spark: SparkSession, clean: CleanSettings, known: dict[str, Any]) -> None:
    strict = clean.model_copy(update={"unknown_products": "quarantine", "unknown_users": "quarantine"})
    rows, wanted = cases(
        CLICK,
        [
            ({}, "good"),
            ({"event_id": "e2", "product_id": "p9"}, "unknown:product_id"),
            ({"event_id": "e3", "user_id": "u9"}, "unknown:user_id"),
            ({"event_id": "e4", "user_id": None, "anonymous_id": "a", "product_id": None}, "good"),
        ],
    )
    cleaned = clean_clicks(
        raw(spark, "clicks", rows),
        products=known["products"],
        users=known["users"],
        rules=rules(strict, quote=9),
    )
    assert outcomes(cleaned) == wanted


ORDER = {
    "order_id": "1",
    "line_id": "1",
    "user_id": "u1",
    "product_id": "p1",
    "order_time": AT,
    "quantity": "2",
    "unit_price": "5",
    "discount": "1",
}


def cleaned_orders(
    spark: SparkSession,
    clean: CleanSettings,
    known: dict[str, Any],
    rows: list[dict[str, Any]],
    said: Said | None = None,
) -> Cleaned:
    return clean_orders(
        raw(spark, "orders", rows),
        products=known["products"],
        users=known["users"],
        rules=rules(clean, said or Said(arrival_lag_minutes=30)),
    )


def test_a_list_price_stands_in_where_nothing_says_what_was_paid(
    spark: SparkSession, clean: CleanSettings, known: dict[str, Any]
) -> None:
    catalogue = spark.createDataFrame(
        [("p1", NOON, Decimal(9))], "product_id string, arrived_at timestamp, price decimal(18,4)"
    )
    own = {**known, "products": catalogue}
    said = Said(arrival_lag_minutes=30, has_prices=False)
    none = {"unit_price": None, "net_amount": None}
    rows = [
        {**ORDER, **none, "order_id": "a"},
        {**ORDER, **none, "order_id": "b", "quantity": "2", "net_amount": "5"},
        {**ORDER, **none, "order_id": "c", "product_id": "p2"},
    ]  # fmt: skip
    cleaned = cleaned_orders(spark, clean, own, rows, said)
    assert outcomes(cleaned) == ["good", "good", "missing:unit_price"]
    paid = {row["order_id"]: (row["unit_price"], row["net_amount"]) for row in cleaned.good.collect()}
    assert paid["b"] == (Decimal(3), Decimal(5))  # a discount of 1 is in it
    assert paid["a"][0] == Decimal(9)


def test_orders(spark: SparkSession, clean: CleanSettings, known: dict[str, Any]) -> None:
    back = {"order_id": "b", "quantity": "-1", "order_time": "2025-01-07T12:00:00Z"}
    rows, wanted = cases(
        ORDER,
        [
            ({}, "good"),
            ({}, "duplicate"),
            ({"quantity": "3"}, "changed:order_id,line_id"),
            ({"line_id": "2", "unit_price": None, "discount": None, "net_amount": "9", "coupon_amount": "0.5"}, "good"),
            ({"line_id": "3", "unit_price": None}, "missing:unit_price"),
            ({"line_id": "4", "quantity": "0"}, "range:quantity"),
            ({"line_id": "5", "quantity": "-2147483648"}, "range:quantity"),
            ({"line_id": "5", "unit_price": "-5", "net_amount": "9"}, "range:unit_price"),
            ({"line_id": "6", "net_amount": "-5"}, "range:net_amount"),
            ({"line_id": "7", "net_amount": "n/a"}, "unparsable:net_amount"),
            ({"line_id": "8", "unit_price": "2000000"}, "range:unit_price"),
            ({"line_id": "9", "discount": "11"}, "range:net_amount"),
            ({"line_id": "10", "coupon_amount": "-1"}, "range:coupon_amount"),
            (back, "good"),
            ({**back, "line_id": "2", "user_id": "u2"}, "return_without_purchase:product_id"),
            ({**back, "line_id": "3", "order_time": "2025-01-05T12:00:00Z"}, "return_without_purchase:product_id"),
            ({"order_id": "2", "product_id": "p9", "user_id": "u9"}, "good"),
            ({"order_id": None, "user_id": ""}, "missing:order_id+missing:user_id"),
        ],
    )
    cleaned = cleaned_orders(spark, clean, known, rows)
    assert outcomes(cleaned) == wanted
    good = {(row["order_id"], row["line_id"]): row for row in cleaned.good.collect()}
    amounts = {
        key: (row["quantity"], row["unit_price"], row["discount"], row["net_amount"]) for key, row in good.items()
    }
    assert amounts == {
        ("1", "1"): (2, Decimal(5), Decimal(1), Decimal(9)),
        ("1", "2"): (2, Decimal("4.5"), Decimal(0), Decimal(9)),
        ("b", "1"): (-1, Decimal(5), Decimal(1), Decimal(-4)),
        ("2", "1"): (2, Decimal(5), Decimal(1), Decimal(9)),
    }
    assert [good["1", line]["coupon_amount"] for line in "12"] == [None, Decimal("0.5")]
    assert good["1", "1"]["arrived_at"].astimezone(UTC) == datetime(2025, 1, 6, 12, 30, tzinfo=UTC)
    assert [good[key, "1"]["known_product"] for key in ("1", "2")] == [True, False]


def test_money_of_several_currencies_is_told_in_one(
    spark: SparkSession, clean: CleanSettings, known: dict[str, Any]
) -> None:
    """The rate of the day counts; a currency, or a day, without one is refused, and never taken for ours."""
    rates = {"USD": {"2025-01-01": 0.9, "2025-01-06": "0.92345678"}, "JPY": {"2025-01-07": 0.006}, "GBP": 1.2}
    mine = load_settings([], env={}, given={"clean.currency": "EUR", "clean.rates": rates}).clean
    rows, wanted = cases(
        {**ORDER, "coupon_amount": "1"},
        [
            ({"line_id": "1"}, "good"),
            ({"line_id": "2", "currency": "EUR"}, "good"),
            ({"line_id": "3", "currency": " usd "}, "good"),
            ({"line_id": "4", "currency": "USD", "order_time": "2025-01-05T23:59:59Z"}, "good"),
            ({"line_id": "5", "currency": "GBP", "order_time": "1999-01-05"}, "good"),
            ({"line_id": "6", "currency": "JPY"}, "unknown:currency"),
            ({"line_id": "7", "currency": "dollars"}, "unknown:currency"),
            ({"line_id": "8", "currency": "GBP", "unit_price": "900000"}, "range:unit_price"),
        ],
    )
    cleaned = cleaned_orders(spark, mine, known, rows)
    assert outcomes(cleaned) == wanted
    found = {row["line_id"]: row for row in cleaned.good.collect()}
    assert {line: row["unit_price"] for line, row in found.items()} == {
        "1": Decimal(5), "2": Decimal(5), "3": Decimal("4.6173"), "4": Decimal("4.5"), "5": Decimal(6),
    }  # fmt: skip
    assert found["4"]["net_amount"] == 2 * Decimal("4.5") - Decimal("0.9")
    assert found["4"]["coupon_amount"] == Decimal("0.9")
    with (
        pytest.raises(DataError, match=r"none of its 1 records can be used: their currency is not known") as caught,
        cleaned_orders(spark, clean, known, [{**ORDER, "currency": "EUR"}]).held(),
    ):
        pass
    assert "clean.currency" in caught.value.fix


def test_an_offers_money_is_ours_but_not_its_share(spark: SparkSession) -> None:
    mine = load_settings([], env={}, given={"clean.currency": "EUR", "clean.rates": {"USD": 0.5}}).clean
    base = {"kind": "amount_off", "scope": "all", "valid_from": AT, "valid_to": "2025-02-01", "currency": "USD"}
    rows = [
        {**base, "offer_id": "a", "depth": "8", "min_spend": "20", "cost_per_redemption": "1"},
        {**base, "offer_id": "b", "kind": "percent_off", "depth": "0.2"},
    ]
    good = {row["offer_id"]: row for row in clean_offers(raw(spark, "offers", rows), rules=rules(mine)).good.collect()}
    assert (good["a"]["depth"], good["a"]["min_spend"], good["a"]["cost_per_redemption"]) == (4.0, 10, Decimal("0.5"))
    assert good["b"]["depth"] == 0.2


def test_test_accounts_are_refused_in_whatever_feed_they_are(
    spark: SparkSession, clean: CleanSettings, known: dict[str, Any]
) -> None:
    mine = clean.model_copy(update={"test_users": ("test-*",)})
    wanted = ["good", "test_account:user_id"]
    both = ("u1", "test-1")
    orders = cleaned_orders(spark, mine, known, [{**ORDER, "order_id": user, "user_id": user} for user in both])
    assert outcomes(orders) == wanted
    shown = {"shown_at": AT, "arrived_at": LATER, "policy": "p"}
    exposures = clean_exposures(
        raw(spark, "exposures", [{**shown, "exposure_id": user, "user_id": user} for user in both]),
        offers=known["offers"],
        users=known["users"],
        rules=rules(mine),
    )
    assert outcomes(exposures) == wanted
    people = raw(spark, "users", [{"user_id": user} for user in both])
    assert outcomes(clean_users(people, rules=rules(mine))) == wanted


def test_products(spark: SparkSession, clean: CleanSettings) -> None:
    base = {
        "product_id": "p1",
        "arrived_at": AT,
        "name": "Tea",
        "category": "Food > Tea",
        "price": "2",
        "unit_cost": "1",
    }
    rows, wanted = cases(
        base,
        [
            ({}, "good"),
            ({}, "duplicate"),
            ({"name": "Teas"}, "changed:product_id,arrived_at"),
            ({"arrived_at": "2025-02-01T00:00:00Z", "price": "3"}, "good"),
            ({"arrived_at": "2025-02-01T00:00:00Z", "price": "4"}, "changed:product_id,arrived_at"),
            ({"arrived_at": "2025-03-01T00:00:00Z", "price": "3.00"}, "duplicate"),
            # What was refused does not stand in the way of the same said later.
            ({"arrived_at": "2025-03-20T00:00:00Z", "price": "5"}, "good"),
            ({"arrived_at": "2025-03-20T00:00:00Z", "price": "6"}, "changed:product_id,arrived_at"),
            ({"arrived_at": "2025-03-25T00:00:00Z", "price": "6"}, "good"),
            ({"arrived_at": "2025-04-01T00:00:00Z"}, "good"),
            ({"product_id": "p2", "category": None, "arrived_at": None}, "good"),
            ({"product_id": "p3", "price": "ask us"}, "unparsable:price"),
            ({"product_id": "p4", "unit_cost": "-1"}, "range:unit_cost"),
            ({"product_id": ""}, "missing:product_id"),
        ],
    )
    cleaned = clean_products(raw(spark, "products", rows), rules=rules(clean))
    assert outcomes(cleaned) == wanted
    good = sorted(
        (row["product_id"], row["arrived_at"].astimezone(UTC).date(), row["price"]) for row in cleaned.good.collect()
    )
    assert good == [
        ("p1", date(2025, 1, 6), Decimal(2)),
        ("p1", date(2025, 2, 1), Decimal(3)),
        ("p1", date(2025, 3, 20), Decimal(5)),
        ("p1", date(2025, 3, 25), Decimal(6)),
        ("p1", date(2025, 4, 1), Decimal(2)),
        ("p2", date(2025, 9, 3), Decimal(2)),
    ]
    assert cleaned.good.where("product_id = 'p2'").first()["category"] == "unknown"


def test_a_column_that_is_wrong_in_every_record_is_the_mappings_mistake(spark: SparkSession) -> None:
    def held(*signups: str) -> dict[str, int]:
        rows = [{"user_id": f"u{n}", "arrived_at": AT, "signup_time": text} for n, text in enumerate(signups)]
        with clean_users(raw(spark, "users", rows), rules=rules()).held() as (_, counts):
            return counts

    assert held("06.01.2025", AT)["quarantined.unparsable"] == 1
    with pytest.raises(DataError) as caught:
        held("06.01.2025", "07.01.2025")
    assert caught.value.message == (
        "feed users: none of its 2 records can be used: signup_time is unparsable in all of them"
    )
    assert caught.value.fix == "Look at the columns, time_format and values of its mapping."
    assert held() == {"rows_in": 0, "rows_out": 0, "duplicates": 0, "quarantined": 0}


def orders_held(
    spark: SparkSession, clean: CleanSettings, known: dict[str, Any], *changes: dict[str, Any]
) -> dict[str, int]:
    """The counts of orders that differ from a good one by this, each with a line of its own."""
    rows = [{**ORDER, "line_id": str(number), **change} for number, change in enumerate(changes)]
    with cleaned_orders(spark, clean, known, rows).held() as (_, counts):
        return counts


@pytest.mark.parametrize(
    ("changes", "wrong"),
    [
        (
            [{"order_time": "soon", "quantity": "two"}, {"quantity": "one"}, {"quantity": "one"}],
            "none of its 3 records can be used: quantity is unparsable in all of them",
        ),
        (
            [{"order_id": None, "line_id": None}, {"line_id": None}],
            "none of its 2 records can be used: line_id is missing in all of them",
        ),
        (
            [{"quantity": None}, {"quantity": "one"}],
            "none of its records with quantity can be used: it is unparsable in all of them, 1 of 2",
        ),
        # What stands for a discount that nobody gave is no discount that was read.
        (
            [{"discount": None}, {"discount": "1,00"}, {"discount": "0,50", "quantity": "one"}, {}, {"quantity": "0"}],
            None,
        ),
        (
            [{"discount": None}, {"discount": "1,00"}, {"discount": "0,50", "quantity": "one"}],
            "none of its records with discount can be used: it is unparsable in all of them, 2 of 3",
        ),
        # A price that follows from another amount is no price that was read.
        (
            [{"unit_price": None, "net_amount": "9"}, {"unit_price": "5,00", "net_amount": "9"}],
            "none of its records with unit_price can be used: it is unparsable in all of them, 1 of 2",
        ),
        ([{"coupon_amount": None}, {"coupon_amount": " "}], None),
        ([{"coupon_amount": "-1"}, {"order_time": "soon"}, {}], None),
        # One bad value in a column that few records have is that record's fault.
        ([{"coupon_amount": "much"}, {}, {}], None),
    ],
)
def test_a_column_that_no_record_with_it_can_use_stops_the_run(
    spark: SparkSession, clean: CleanSettings, known: dict[str, Any], changes: list[dict[str, Any]], wrong: str | None
) -> None:
    if wrong is None:
        assert orders_held(spark, clean, known, *changes)["rows_in"] == len(changes)
        return
    with pytest.raises(DataError) as caught:
        orders_held(spark, clean, known, *changes)
    assert caught.value.message == f"feed orders: {wrong}"
    assert caught.value.fix == "Look at the columns, time_format and values of its mapping."


def test_users(spark: SparkSession) -> None:
    base = {"user_id": "u1", "arrived_at": AT, "gender": "f", "extra": {"city": "Bonn"}}
    rows, wanted = cases(
        base,
        [
            ({"consent_marketing": "no"}, "good"),
            ({"consent_marketing": "false", "arrived_at": LATER}, "duplicate"),
            ({"consent_marketing": "yes", "arrived_at": "2025-02-01T00:00:00Z"}, "good"),
            ({"user_id": "u2", "signup_time": "long ago"}, "unparsable:signup_time"),
            ({"user_id": "u3", "consent_profiling": "perhaps"}, "unparsable:consent_profiling"),
            ({"user_id": None}, "missing:user_id"),
        ],
    )
    cleaned = clean_users(raw(spark, "users", rows), rules=rules())
    assert outcomes(cleaned) == wanted
    good = sorted(
        (row["consent_marketing"], row["consent_profiling"], row["attributes"]["city"])
        for row in cleaned.good.collect()
    )
    assert good == [(False, None, "Bonn"), (True, None, "Bonn")]


def test_offers(spark: SparkSession, clean: CleanSettings) -> None:
    base = {
        "arrived_at": AT,
        "kind": "percent_off",
        "depth": "0.2",
        "scope": "all",
        "valid_from": AT,
        "valid_to": LATER,
    }
    rows, wanted = cases(
        {"offer_id": "o1", **base},
        [
            ({"channels": '["email","app"]'}, "good"),
            ({"offer_id": "o2", "depth": "20"}, "range:depth"),
            ({"offer_id": "o3", "depth": None}, "missing:depth"),
            ({"offer_id": "o4", "kind": "amount_off", "depth": "20", "min_spend": "50"}, "good"),
            ({"offer_id": "o5", "kind": "bribe"}, "unknown:kind"),
            ({"offer_id": "o6", "valid_to": AT}, "range:valid_to"),
            ({"offer_id": "o7", "scope": "category"}, "missing:scope_values"),
            ({"offer_id": "o8", "scope": "brand", "scope_values": "Own|Other", "campaign_type": " own "}, "good"),
            ({"offer_id": "o9", "scope": "galaxy"}, "unknown:scope"),
            (
                {"offer_id": "o10", "cost_per_redemption": "-1", "max_redemptions": "x"},
                "range:cost_per_redemption+unparsable:max_redemptions",
            ),
            ({"offer_id": "o11", "kind": "gift", "depth": None, "valid_to": None}, "missing:valid_to"),
            ({"offer_id": "o12", "channels": "[]"}, "good"),
            ({"offer_id": "o13", "channels": " "}, "good"),
        ],
    )
    cleaned = clean_offers(raw(spark, "offers", rows), rules=rules(clean))
    assert outcomes(cleaned) == wanted
    good = sorted(
        (row["offer_id"], row["depth"], row["scope_values"], row["channels"]) for row in cleaned.good.collect()
    )
    assert good == [
        ("o1", 0.2, [], ["email", "app"]),
        ("o12", 0.2, [], []),
        ("o13", 0.2, [], None),
        ("o4", 20.0, [], None),
        ("o8", 0.2, ["Own", "Other"], None),
    ]
    assert {row["offer_id"]: row["campaign_type"] for row in cleaned.good.collect()}["o8"] == "own"


def test_offer_products(spark: SparkSession, clean: CleanSettings, known: dict[str, Any]) -> None:
    rows, wanted = cases(
        {"offer_id": "o1", "product_id": "p1"},
        [
            ({}, "good"),
            ({}, "duplicate"),
            ({"coupon_id": "c"}, "good"),
            ({"product_id": "p9"}, "good"),
            ({"offer_id": ""}, "missing:offer_id"),
        ],
    )
    made = raw(spark, "offer_products", rows)
    cleaned = clean_offer_products(made, products=known["products"], rules=rules(clean))
    assert outcomes(cleaned) == wanted
    assert sorted(tuple(row) for row in cleaned.good.collect()) == [
        ("o1", "p1", ""),
        ("o1", "p1", "c"),
        ("o1", "p9", ""),
    ]
    strict = clean.model_copy(update={"unknown_products": "quarantine"})
    cleaned = clean_offer_products(made, products=known["products"], rules=rules(strict))
    assert outcomes(cleaned)[3] == "unknown:product_id"


def test_exposures(spark: SparkSession, clean: CleanSettings, known: dict[str, Any]) -> None:
    base = {"exposure_id": "x1", "user_id": "u1", "offer_id": "o1", "shown_at": AT, "arrived_at": AT, "policy": "rule"}
    rows, wanted = cases(
        base,
        [
            ({"propensity": "0.25", "position": "1"}, "good"),
            ({"propensity": "0.250", "position": "1"}, "duplicate"),
            ({"exposure_id": "x2", "offer_id": None}, "good"),
            ({"exposure_id": "x3", "propensity": "0"}, "range:propensity"),
            ({"exposure_id": "x4", "propensity": "1.01"}, "range:propensity"),
            ({"exposure_id": "x5", "propensity": "NaN"}, "unparsable:propensity"),
            ({"exposure_id": "x6", "offer_id": "o9"}, "unknown:offer_id"),
            ({"exposure_id": "x7", "position": "0"}, "range:position"),
            ({"exposure_id": "x8", "policy": None, "user_id": None}, "missing:user_id+missing:policy"),
            ({"exposure_id": "x9", "user_id": "u9"}, "good"),
        ],
    )
    made = raw(spark, "exposures", rows)
    cleaned = clean_exposures(made, offers=known["offers"], users=known["users"], rules=rules(clean))
    assert outcomes(cleaned) == wanted
    good = sorted(
        (row["exposure_id"], row["offer_id"], row["propensity"], row["shown_date"]) for row in cleaned.good.collect()
    )
    day = date(2025, 1, 6)
    assert good == [("x1", "o1", 0.25, day), ("x2", None, None, day), ("x9", "o1", None, day)]


def test_redemptions(spark: SparkSession, clean: CleanSettings, known: dict[str, Any]) -> None:
    base = {"redemption_id": "r1", "user_id": "u1", "offer_id": "o1", "redeemed_at": AT, "arrived_at": AT}
    rows, wanted = cases(
        base,
        [
            ({"value": "2.5", "coupon_id": "c"}, "good"),
            ({"value": "2.6", "coupon_id": "c"}, "changed:redemption_id"),
            ({"redemption_id": "r2", "value": "free"}, "unparsable:value"),
            ({"redemption_id": "r3", "value": "-1"}, "range:value"),
            ({"redemption_id": "r4", "offer_id": "o9"}, "unknown:offer_id"),
            ({"redemption_id": "r5", "redeemed_at": "2025-01-07"}, "clock_skew:arrived_at"),
        ],
    )
    strict = clean.model_copy(update={"unknown_users": "quarantine"})
    cleaned = clean_redemptions(
        raw(spark, "redemptions", rows),
        offers=known["offers"],
        users=known["users"],
        rules=rules(strict),
    )
    assert outcomes(cleaned) == wanted
    (good,) = cleaned.good.collect()
    assert (good["value"], good["coupon_id"], good["redeemed_at"].astimezone(UTC)) == (Decimal("2.5"), "c", NOON)


@pytest.mark.parametrize(
    ("feed", "parsed"),
    [
        ("clicks", clicks.parsed),
        ("orders", orders.parsed),
        ("exposures", exposures.parsed),
        ("redemptions", redemptions.parsed),
    ],
)
def test_a_log_is_typed_in_one_method_that_java_compiles(
    spark: SparkSession, feed: str, parsed: Callable[[DataFrame, Parser], DataFrame]
) -> None:
    frame = parsed(raw(spark, feed, [{}]), parser())
    explained = spark._jvm.PythonSQLUtils.explainString(frame._jdf.queryExecution(), "codegen")
    (size,) = re.findall(r"maxMethodCodeSize:(\d+)", explained)
    assert 1000 < int(size) < 8000, feed
