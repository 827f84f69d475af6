"""The Complete Journey as landing feeds: its known counts, and its money worked out right."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from pyspark.sql import SparkSession

from offerlake.clean.exposures import clean_exposures
from offerlake.clean.offers import clean_offers
from offerlake.clean.orders import clean_orders
from offerlake.clean.products import clean_products
from offerlake.clean.redemptions import clean_redemptions
from offerlake.clean.rules import Rules
from offerlake.clean.users import clean_users
from offerlake.config import Settings
from offerlake.ingest.completejourney import prepare
from offerlake.ingest.feed import read_feed
from offerlake.ingest.mapping import load_source

COUNTS = {
    "orders": 1_469_307,
    "products": 92_331,
    "users": 2_469,
    "offers": 27,
    "offer_products": 116_204,
    "exposures": 6_589,
    "redemptions": 2_102,
}


@pytest.fixture(scope="module")
def landing(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("journey")
    assert prepare(folder) == COUNTS
    return folder


def test_counts_and_keys(landing: Path) -> None:
    assert sorted(path.relative_to(landing).as_posix() for path in landing.glob("*/*")) == sorted(
        f"{name}/{name}.parquet" for name in COUNTS
    )
    keys = {
        "orders": ["basket_id", "product_id"],
        "products": ["product_id"],
        "users": ["household_id"],
        "offers": ["campaign_id"],
        "exposures": ["exposure_id"],
        "redemptions": ["redemption_id"],
    }
    for name, count in COUNTS.items():
        assert pq.ParquetFile(landing / name / f"{name}.parquet").metadata.num_rows == count
        if name in keys:
            frame = pq.read_table(landing / name / f"{name}.parquet", columns=keys[name])
            assert frame.group_by(keys[name]).aggregate([]).num_rows == count, name
    coupons = pq.read_table(landing / "offer_products/offer_products.parquet")
    assert coupons.group_by(coupons.column_names).aggregate([]).num_rows == COUNTS["offer_products"] - 4_872


def test_money_before_and_after_discounts(landing: Path) -> None:
    orders = pq.read_table(landing / "orders/orders.parquet")
    sold = orders.filter(pc.greater(orders["quantity"], 0))
    left = pc.subtract(pc.multiply(sold["quantity"], sold["unit_price"]), sold["discount"])
    error = pc.abs(pc.subtract(left, sold["sales_value"]))
    # The price of a unit has four decimals, so a line is off by half of one a unit at most.
    bound = pc.add(pc.multiply(sold["quantity"], 5.1e-5), 5.1e-3)
    assert pc.all(pc.less_equal(error, bound)).as_py()
    assert pc.max(orders["quantity"]).as_py() == 144
    assert orders.num_rows - sold.num_rows == 8_869
    assert pc.min(orders["discount"]).as_py() == 0


def clean(spark: SparkSession, settings: Settings, landing: Path, name: str, **more: Any) -> Any:
    functions = {
        "orders": clean_orders,
        "products": clean_products,
        "users": clean_users,
        "offers": clean_offers,
        "exposures": clean_exposures,
        "redemptions": clean_redemptions,
    }
    feed = load_source("completejourney").feed(name)
    loaded_at = datetime(2025, 1, 1, tzinfo=UTC)
    batch = read_feed(spark, name, feed, landing=landing.as_uri(), known=(), loaded_at=loaded_at, quote=50)
    assert batch is not None
    return functions[name](batch.good, rules=Rules(settings.clean, feed, 50), **more)  # type: ignore[operator]


def test_campaigns_become_offers_exposures_and_redemptions(
    spark: SparkSession, settings: Settings, landing: Path
) -> None:
    users = clean(spark, settings, landing, "users").good
    offers = clean(spark, settings, landing, "offers").good
    made = {row["offer_id"]: row for row in offers.collect()}
    assert len(made) == 27
    book = made["13"]
    assert (book["kind"], book["scope"], book["depth"], book["channels"]) == ("coupon_book", "products", None, ["mail"])
    assert [made[each]["campaign_type"] for each in ("13", "1", "24")] == ["Type A", "Type B", "Type C"]
    assert book["valid_from"].astimezone(UTC) == datetime(2017, 8, 8, tzinfo=UTC)
    assert book["valid_to"].astimezone(UTC) == datetime(2017, 9, 25, tzinfo=UTC)
    shown = clean(spark, settings, landing, "exposures", offers=offers, users=users)
    assert shown.decided.groupBy("_status").count().collect() == [("good", 6_589)]
    one = shown.good.where("exposure_id = '1-68'").first()
    assert (one["user_id"], one["offer_id"], one["propensity"], one["policy"]) == (
        "68", "1", None, "campaign_targeting",
    )  # fmt: skip
    used = clean(spark, settings, landing, "redemptions", offers=offers, users=users)
    assert used.decided.groupBy("_status").count().collect() == [("good", 2_102)]
    first = used.good.where("redemption_id = '26-1029-51380041013-20170101'").first()
    assert (first["coupon_id"], first["arrived_at"].astimezone(UTC)) == (
        "51380041013",
        datetime(2017, 1, 1, 23, 59, tzinfo=UTC),
    )
    household = users.where("user_id = '1'").first()
    assert (household["age_band"], household["attributes"]["income"]) == ("65+", "35-49K")
    assert household["consent_marketing"] is None
    assert users.where("user_id = '2'").first()["attributes"] == {}


def test_orders_and_products(spark: SparkSession, settings: Settings, landing: Path, tmp_path: Path) -> None:
    (tmp_path / "orders").mkdir()
    part = pq.ParquetFile(landing / "orders/orders.parquet").read_row_group(0).slice(0, 20_000)
    pq.write_table(part, tmp_path / "orders/orders.parquet")
    products = clean(spark, settings, landing, "products").good.cache()
    assert products.count() == 92_331
    assert products.where("product_id = '25671'").first()["category"] == "GROCERY > FRZN ICE > ICE - CRUSHED/CUBED"
    users = clean(spark, settings, landing, "users").good
    cleaned = clean(spark, settings, tmp_path, "orders", products=products, users=users)
    with cleaned.held() as (_, counts):
        empty = pc.sum(pc.equal(part["quantity"], 0)).as_py()
        assert counts == {
            "rows_in": 20_000,
            "rows_out": 20_000 - empty,
            "duplicates": 0,
            "quarantined": empty,
            "quarantined.range": empty,
            "unknown_users": 0,
            "unknown_products": 1,
        }
        line = cleaned.good.where("order_id = '31198705046' AND product_id = '1020156'").first()
        assert (line["quantity"], line["unit_price"], line["discount"], line["net_amount"]) == (
            1, Decimal("1.79"), Decimal("0.29"), Decimal("1.5"),
        )  # fmt: skip
        with_coupon = pc.and_(pc.greater(part["coupon_disc"], 0), pc.not_equal(part["quantity"], 0))
        assert cleaned.good.where("coupon_amount > 0").count() == pc.sum(with_coupon).as_py() > 100
        petrol = cleaned.good.where("product_id = '6533889'").first()
        assert petrol["quantity"] == 1
        assert petrol["unit_price"] > 1
        assert cleaned.good.where("NOT known_product").count() < 20
    products.unpersist()
