"""Each kind of expectation, met and not met, on a few rows."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from typing import Any

import pytest
from pyspark.sql import DataFrame, SparkSession

from offerlake.quality.judge import Finding
from quality.made import ago, checked, silver


def short(finding: Finding) -> tuple[Any, ...]:
    value = None if finding.value is None else round(finding.value, 6)
    return (finding.rows, finding.failed, value, finding.passed, finding.example)


def test_rows_one_by_one_in_one_pass(spark: SparkSession, monkeypatch: pytest.MonkeyPatch) -> None:
    prices = (Decimal(5), Decimal(20000), None, Decimal(-1))
    channels = ("web", "fax", None, "telegram or so")
    clicks = [
        {"event_id": f"e{n}", "price": price, "channel": channel, "product_id": product, "known_product": n != 1}
        for n, (price, channel, product) in enumerate(zip(prices, channels, ("p1", "p9", None, "p1"), strict=True))
    ]
    tables = {
        "clicks": silver(spark, "clicks", clicks),
        "products": silver(spark, "products", [{"product_id": "p1"}, {"product_id": "p1", "at": ago(9)}]),
    }
    collects: list[int] = []
    collect = type(tables["clicks"]).collect

    def counting(self: DataFrame) -> list[Any]:
        collects.append(1)
        return collect(self)

    monkeypatch.setattr(type(tables["clicks"]), "collect", counting)
    found = checked(
        tables,
        "clicks",
        [
            {"column": "price", "not_null": True, "share": 0.75},
            {"column": "channel", "not_null": True, "name": "strict"},
            {"column": "price", "range": [0, 10000]},
            {"column": "price", "range": [None, 20000], "name": "open"},
            {"column": "price", "range": [0, None], "share": 0.6, "name": "most"},
            {"column": "channel", "set": ["web", "app"]},
            {"column": "known_product", "set": [True], "share": 0.75},
            {"column": "product_id", "foreign_key": "products.product_id", "share": 0.7},
            {"column": "query", "set": ["tea"]},
        ],
    )
    assert {name: short(finding) for name, finding in found.items()} == {
        "price_not_null": (4, 1, 0.75, True, None),
        "strict": (4, 1, 0.75, False, None),
        "price_range": (3, 2, 0.333333, False, "20000.00"),
        "open": (3, 0, 1.0, True, None),
        "most": (3, 1, 0.666667, True, "-1.0000"),
        "channel_set": (3, 2, 0.333333, False, "telegram"),
        "known_product_set": (4, 1, 0.75, True, "false"),
        "product_id_foreign_key": (3, 1, 0.666667, False, "p9"),
        "query_set": (0, 0, None, None, None),  # null in all rows: nothing to judge
    }
    assert len(collects) == 1


def test_unique_is_exact_and_passes_over_nulls(spark: SparkSession) -> None:
    lines = [{"order_id": order, "line_id": line} for order, line in (("1", "1"), ("1", "2"), ("2", "1"), ("1", "2"))]
    clicks = [{"event_id": "a", "offer_id": "o1"}, {"event_id": "b", "offer_id": None}, {"event_id": "c"}]
    tables = {"order_lines": silver(spark, "order_lines", lines), "clicks": silver(spark, "clicks", clicks)}
    found = checked(tables, "order_lines", [{"unique": ["order_id", "line_id"]}, {"unique": ["line_id"], "share": 0.5}])
    assert short(found["order_id_line_id_unique"]) == (4, 1, 0.75, False, "1, 2")
    assert short(found["line_id_unique"]) == (4, 2, 0.5, True, "2")
    assert short(checked(tables, "clicks", [{"unique": ["offer_id"]}])["offer_id_unique"]) == (1, 0, 1.0, True, None)


def days(spark: SparkSession, arrived: Sequence[tuple[float, int]]) -> dict[str, DataFrame]:
    """Clicks that arrived so many days before as_of, each as often."""
    ages = [age for age, times in arrived for _ in range(times)]
    rows = [{"event_id": f"e{number}", "at": ago(age)} for number, age in enumerate(ages)]
    return {"clicks": silver(spark, "clicks", rows)}


def test_freshness_by_the_clock_of_arrival(spark: SparkSession) -> None:
    tables = days(spark, [(3.5, 1), (1.25, 2), (-0.5, 9)])  # what arrives after as_of is not there yet
    found = checked(tables, "clicks", [{"freshness_days": 2}, {"freshness_days": 1.2, "name": "sooner"}])
    assert short(found["freshness_days"]) == (3, None, 1.25, True, None)
    assert (found["sooner"].passed, found["sooner"].high) == (False, 1.2)
    late = silver(spark, "clicks", [{"at": ago(0.5), "arrived_at": ago(-1)}, {"at": ago(5), "arrived_at": ago(4)}])
    assert checked({"clicks": late}, "clicks", [{"freshness_days": 2}])["freshness_days"].value == 4


@pytest.mark.parametrize(
    ("yesterday", "value", "passed"), [(3, 0.5, True), (2, 0.333333, False), (12, 2.0, True), (13, 2.166667, False)]
)
def test_volume_against_the_same_weekday(spark: SparkSession, yesterday: int, value: float, passed: bool) -> None:
    """A week ago 4 rows, two weeks ago 8, three weeks ago none: 6 on average; other weekdays do not count."""
    tables = days(spark, [(0.5, yesterday), (7.5, 4), (14.5, 8), (1.5, 50), (6.5, 50)])
    found = checked(tables, "clicks", [{"volume": {"weeks": 3, "low": 0.5, "high": 2}}])["volume"]
    assert short(found) == (yesterday, None, value, passed, None)
    assert (found.low, found.high) == (0.5, 2)


def test_drift_of_the_newest_days(spark: SparkSession) -> None:
    def prices(of_newest: float, times: int) -> dict[str, DataFrame]:
        old = [{"at": ago(8 + n % 14), "price": Decimal(n % 10 + 1), "channel": "web"} for n in range(10 * times)]
        new = [
            {"at": ago(1 + n % 7), "price": Decimal(of_newest * (n % 10 + 1)), "channel": "app"} for n in range(times)
        ]
        rows = [{"event_id": f"e{number}", **row} for number, row in enumerate([*old, *new])]
        return {"clicks": silver(spark, "clicks", rows)}

    expected = [
        {"column": "price", "drift": 0.2, "days": 7, "weeks": 2},
        {"column": "channel", "drift": 0.2, "days": 7, "weeks": 2},
    ]
    same = checked(prices(1, 40), "clicks", expected)
    assert (same["price_drift"].passed, same["price_drift"].rows) == (True, 40)
    assert same["price_drift"].value == pytest.approx(0, abs=0.01)
    assert (same["channel_drift"].passed, same["channel_drift"].high) == (False, 0.2)
    assert checked(prices(10, 40), "clicks", expected)["price_drift"].passed is False
    few = checked(prices(1, 2), "clicks", expected)["price_drift"]  # two rows, both cheap: chance gives as much
    assert few.value is not None
    assert few.value > 0.2
    assert few.passed is None


def test_an_empty_log_is_not_fresh_and_nothing_else_can_be_said(spark: SparkSession) -> None:
    found = checked(
        {"clicks": silver(spark, "clicks", []), "products": silver(spark, "products", [])},
        "clicks",
        [
            {"column": "price", "not_null": True},
            {"column": "price", "range": [0, 1]},
            {"column": "product_id", "foreign_key": "products.product_id"},
            {"unique": ["event_id"]},
            {"freshness_days": 2},
            {"volume": {"weeks": 4, "low": 0.5, "high": 2}},
            {"column": "price", "drift": 0.2, "days": 7, "weeks": 4},
        ],
    )
    assert {name: (finding.rows, finding.value, finding.passed) for name, finding in found.items()} == {
        "price_not_null": (0, None, None),
        "price_range": (0, None, None),
        "product_id_foreign_key": (0, None, None),
        "event_id_unique": (0, None, None),
        "freshness_days": (0, None, False),
        "volume": (0, None, None),
        "price_drift": (0, None, None),
    }


def test_a_log_is_looked_at_in_its_last_days_and_other_tables_whole(spark: SparkSession) -> None:
    tables = days(spark, [(0.5, 1), (9.5, 1), (10.5, 4), (-0.5, 8)])
    assert checked(tables, "clicks", [{"column": "price", "not_null": True}], days=10)["price_not_null"].rows == 2
    products = {"products": silver(spark, "products", [{"at": ago(400)}, {"at": ago(-9), "product_id": "p2"}])}
    assert checked(products, "products", [{"column": "brand", "not_null": True}])["brand_not_null"].rows == 2
