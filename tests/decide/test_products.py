"""Which products an offer is about, and which are shown with it."""

from __future__ import annotations

from datetime import date

from pyspark.sql import SparkSession

from decide.made import DAY, frame, offer
from offerlake.decide.products import products_shown, scopes
from offerlake.windows import midnight


def test_scopes_are_those_of_the_day_by_category_brand_or_list(spark: SparkSession) -> None:
    early, late = midnight(date(2025, 1, 1)), midnight(date(2026, 1, 1))
    offers = [
        offer("all"),
        offer("dairy", scope="category", scope_values=["Dairy", "Salt"]),
        offer("deep", scope="category", scope_values=["Dairy > Milk"]),
        offer("brand", scope="brand", scope_values=["x"]),
        offer("listed", scope="products"),
        offer("unlisted", scope="products"),
        offer("over", scope="brand", scope_values=["x"], valid_to=midnight(DAY)),
        offer("not yet", scope="brand", scope_values=["x"], valid_from=late),
        offer("changed", scope="brand", scope_values=["y"], arrived_at=early),
    ]
    coupons = [
        ("listed", "p4", "a"),
        ("listed", "p4", "b"),
        ("listed", "gone", "a"),
        ("over", "p1", ""),
        ("all", "p2", ""),
    ]
    products = [("p1", "Dairy > Milk", "x"), ("p2", "Dairy", "y"), ("p3", "Dairyfree", "x"), ("p4", None, None)]

    found = scopes(
        frame(spark, "offers", offers),
        frame(
            spark,
            "offer_products",
            [dict(zip(("offer_id", "product_id", "coupon_id"), c, strict=True)) for c in coupons],
        ),
        spark.createDataFrame(products, "product_id string, category string, brand string"),
        as_of=DAY,
    )

    assert sorted(tuple(row) for row in found.collect()) == [
        ("brand", "p1"),
        ("brand", "p3"),
        ("changed", "p2"),
        ("dairy", "p1"),
        ("dairy", "p2"),
        ("deep", "p1"),
        ("listed", "gone"),
        ("listed", "p4"),
    ]


def test_an_offer_shows_the_best_of_its_products(spark: SparkSession) -> None:
    items = [{"product_id": f"p{n}"} for n in range(4)]
    rows = [
        ("u1", "o", "all", items, None),
        ("u2", "o", "category", items, {"o": ["p9", "p8", "p7"], "x": ["p1"]}),
        ("u3", "o", "category", items, {"x": ["p1"]}),
        ("u4", None, None, items, None),
        ("u5", "o", "all", None, None),
        ("u6", "o", "brand", items, None),
    ]
    schema = (
        "user_id string, offer_id string, scope string, items array<struct<product_id:string>>, "
        "scoped map<string,array<string>>"
    )

    shown = spark.createDataFrame(rows, schema).select("user_id", products_shown(2).alias("found")).collect()

    assert {row["user_id"]: row["found"] for row in shown} == {
        "u1": ["p0", "p1"],
        "u2": ["p9", "p8"],
        "u3": [],
        "u4": [],
        "u5": [],
        "u6": [],
    }
