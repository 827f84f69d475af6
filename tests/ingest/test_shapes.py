"""Logs of shapes that are not ours: each mapped as drafted from its files, without code, and cleaned."""

from __future__ import annotations

import gzip
from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import yaml
from pyspark.sql import DataFrame, SparkSession

from offerlake import files, sources
from offerlake.clean.clicks import clean_clicks
from offerlake.clean.orders import clean_orders
from offerlake.clean.products import clean_products
from offerlake.clean.quarantine import Cleaned
from offerlake.clean.rules import Rules
from offerlake.config import Settings
from offerlake.ingest.draft import draft
from offerlake.ingest.feed import read_feed
from offerlake.ingest.mapping import Source, parse_source
from offerlake.schemas import table

Draft = Callable[[], Source]


@pytest.fixture
def drafted(spark: SparkSession, tmp_path: Path) -> Draft:
    def go() -> Source:
        found = sources.samples(spark, [tmp_path], tmp_path, rows=100)
        return parse_source(yaml.safe_load(draft("mine", found)), where="draft")

    return go


class Shop:
    """What a mapping makes of the files in a folder."""

    def __init__(self, spark: SparkSession, settings: Settings, landing: Path, source: Source) -> None:
        self.spark, self.settings, self.source = spark, settings, source
        self.landing = files.qualified(spark, str(landing))

    def raw(self, name: str) -> DataFrame:
        loaded_at = datetime(2025, 9, 1, tzinfo=UTC)
        feed = self.source.feed(name)
        batch = read_feed(self.spark, name, feed, landing=self.landing, known=(), loaded_at=loaded_at, quote=50)
        assert batch is not None
        return batch.good

    def clean(self, name: str, **known: DataFrame) -> Cleaned:
        how: dict[str, Any] = {"clicks": clean_clicks, "orders": clean_orders, "products": clean_products}
        rest = {"rules": Rules(self.settings.clean, self.source.feed(name), 50)}
        if name != "products":
            empty = self.spark.createDataFrame([], table("users").struct)
            rest |= {"users": empty, "products": self.spark.createDataFrame([], table("products").struct), **known}
        cleaned: Cleaned = how[name](self.raw(name), **rest)
        return cleaned

    def fits(self, *names: str) -> None:
        run = self.settings.run.model_copy(update={"landing": self.landing})
        looks = sources.check(self.spark, self.source, self.settings.model_copy(update={"run": run}), rows=50)
        assert {look.name for look in looks if look.ok} == set(names), [look.error for look in looks]


def land(path: Path, *lines: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    text = "".join(f"{line}\n" for line in lines).encode()
    path.write_bytes(gzip.compress(text) if path.suffix == ".gz" else text)


def test_sessions_without_users(spark: SparkSession, settings: Settings, tmp_path: Path, drafted: Draft) -> None:
    land(
        tmp_path / "log.csv",
        "session_id,timestamp,item_id,category",
        "1,2014-04-07T10:51:09.277Z,214536502,S",
        "1,2014-04-07T10:54:09.868Z,214536500,0",
        "1,2014-04-07T10:54:09.868Z,214536500,0",
        "2,2014-04-07T13:56:37.614Z,214662742,0",
    )
    shop = Shop(spark, settings, tmp_path, drafted())
    assert shop.source.none == ("orders", "identities", "offer_products", "exposures", "redemptions")
    shop.fits("clicks", "products")
    products = shop.clean("products").good
    assert {(row["product_id"], row["category"]) for row in products.collect()} == {
        ("214536502", "S"), ("214536500", "0"), ("214662742", "0"),
    }  # fmt: skip
    cleaned = shop.clean("clicks", products=products)
    with cleaned.held() as (_, counts):
        none = {"quarantined": 0, "unknown_users": 0, "unknown_products": 0}
        assert counts == {"rows_in": 4, "rows_out": 3, "duplicates": 1, **none}
        rows = cleaned.good.orderBy("event_time").collect()
    assert [(row["anonymous_id"], row["user_id"], row["event_type"]) for row in rows] == [
        ("1", None, "view"), ("1", None, "view"), ("2", None, "view"),
    ]  # fmt: skip
    assert rows[0]["event_id"] == "1|2014-04-07T10:51:09.277Z|214536502"
    assert all(row["known_product"] for row in rows)


def test_orders_without_prices(spark: SparkSession, settings: Settings, tmp_path: Path, drafted: Draft) -> None:
    land(
        tmp_path / "orders/1.csv",
        "order_id,user_id,product_id,order_date",
        "7,u1,a,06.01.2025 10:00",
        "7,u1,b,06.01.2025 10:00",
    )
    land(
        tmp_path / "orders/2.csv",
        "order_id,user_id,product_id,order_date",
        "8,u2,a,31.03.2025 09:30",
        "9,u2,c,31.03.2025 09:30",
    )
    land(
        tmp_path / "catalogue.csv",
        "product_id;name;category;price;updated_at",
        "a;Tea;Drinks;1.012,50;01.12.2024 00:00",
        "a;Tea;Drinks;3,99;01.03.2025 00:00",
        "b;Jar;Kitchen;7,00;01.02.2025 00:00",
    )
    shop = Shop(spark, settings, tmp_path, drafted())
    orders = shop.source.feed("orders")
    assert (orders.path, orders.time_format, orders.columns["line_id"]) == (
        "orders/*.csv",
        ("dd.MM.yyyy HH:mm",),
        ("product_id",),
    )
    shop.fits("orders", "products", "users")
    products = shop.clean("products").good
    cleaned = shop.clean("orders", products=products)
    with cleaned.held() as (_, counts):
        assert (counts["rows_out"], counts["quarantined.missing"]) == (3, 1)
        lines = {(row["order_id"], row["line_id"]): row for row in cleaned.good.collect()}
        (refused,) = cleaned.quarantined.collect()
    # Before the first version of b its first price stands in; nobody knows what c costs.
    money = {key: (row["quantity"], row["unit_price"], row["net_amount"]) for key, row in lines.items()}
    assert money == {
        ("7", "a"): (1, Decimal("1012.5"), Decimal("1012.5")),
        ("7", "b"): (1, Decimal(7), Decimal(7)),
        ("8", "a"): (1, Decimal("3.99"), Decimal("3.99")),
    }
    assert lines["8", "a"]["order_time"].astimezone(UTC) == datetime(2025, 3, 31, 9, 30, tzinfo=UTC)
    assert refused["reasons"] == ["missing:unit_price"]


def test_one_file_with_all_events(spark: SparkSession, settings: Settings, tmp_path: Path, drafted: Draft) -> None:
    land(
        tmp_path / "2019-Oct.csv.gz",
        "event_time,event_type,product_id,category_id,category_code,brand,price,user_id,user_session",
        "2019-10-01 00:00:00 UTC,view,44600062,2103807459595387724,,shiseido,35.79,541312140,72d76fde",
        "2019-10-01 00:01:00 UTC,cart,44600062,2103807459595387724,,shiseido,35.79,541312140,72d76fde",
        "2019-10-01 00:02:00 UTC,purchase,44600062,2103807459595387724,,shiseido,35.79,541312140,72d76fde",
        "2019-10-01 00:02:00 UTC,purchase,1307067,2053013558920217191,computers.note,lenovo,251.74,541312140,72d76fde",
        "2019-10-01 00:03:00 UTC,view,1307067,2053013558920217191,computers.notebook,lenovo,251.74,550050854,7c90fc70",
    )  # fmt: skip
    shop = Shop(spark, settings, tmp_path, drafted())
    shop.fits("clicks", "orders", "products", "users")
    products = shop.clean("products").good
    assert {(row["product_id"], row["brand"], row["price"]) for row in products.collect()} == {
        ("44600062", "shiseido", Decimal("35.79")), ("1307067", "lenovo", Decimal("251.74")),
    }  # fmt: skip
    clicks = shop.clean("clicks", products=products).good.collect()
    assert sorted(row["event_type"] for row in clicks) == ["add_to_cart", "purchase", "purchase", "view", "view"]
    lines = shop.clean("orders", products=products).good.collect()
    assert {row["order_id"] for row in lines} == {"541312140|2019-10-01 00:02:00 UTC"}
    assert {row["product_id"]: row["net_amount"] for row in lines} == {
        "44600062": Decimal("35.79"), "1307067": Decimal("251.74"),
    }  # fmt: skip
    assert {row["user_id"] for row in shop.raw("users").collect()} == {"541312140", "550050854"}


def test_events_by_visitors_in_milliseconds(
    spark: SparkSession, settings: Settings, tmp_path: Path, drafted: Draft
) -> None:
    land(
        tmp_path / "events.csv",
        "timestamp,visitorid,event,itemid,transactionid",
        "1433221332117,257597,view,355908,",
        "1433224214164,992329,addtocart,248676,",
        "1433222276276,599528,transaction,356475,4000",
        "1433222276276,599528,transaction,15335,4000",
    )
    shop = Shop(spark, settings, tmp_path, drafted())
    shop.fits("clicks", "orders", "users")
    clicks = {row["user_id"]: row for row in shop.clean("clicks").good.where("event_type <> 'purchase'").collect()}
    assert clicks["257597"]["event_time"].astimezone(UTC) == datetime(2015, 6, 2, 5, 2, 12, 117_000, tzinfo=UTC)
    assert clicks["992329"]["event_type"] == "add_to_cart"
    lines = shop.raw("orders").collect()
    assert {(row["order_id"], row["line_id"], row["user_id"], row["quantity"]) for row in lines} == {
        ("4000", "356475", "599528", "1"), ("4000", "15335", "599528", "1"),
    }  # fmt: skip


def test_one_file_an_event_type(spark: SparkSession, settings: Settings, tmp_path: Path, drafted: Draft) -> None:
    land(tmp_path / "clicks/views-1.jsonl", '{"uid": "u1", "sku": "a", "ts": 1736157600}')
    land(tmp_path / "clicks/views-2.jsonl", '{"uid": "u2", "sku": "b", "ts": 1736157601}')
    land(tmp_path / "clicks/cart.csv", "user,item,time", "u1,a,2025-01-06 10:05:00")
    source = drafted()
    assert [part["path"] for part in source.feeds["clicks"].parts] == ["clicks/cart.csv", "clicks/views-*.jsonl"]
    shop = Shop(spark, settings, tmp_path, source)
    shop.fits("clicks")
    rows = shop.clean("clicks").good.orderBy("event_time").collect()
    assert [(row["user_id"], row["product_id"], row["event_type"]) for row in rows] == [
        ("u1", "a", "view"), ("u2", "b", "view"), ("u1", "a", "add_to_cart"),
    ]  # fmt: skip
    assert rows[0]["event_time"].astimezone(UTC) == datetime(2025, 1, 6, 10, tzinfo=UTC)
