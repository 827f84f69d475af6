"""The contracts: whole, and kept at both ends of a step."""

from __future__ import annotations

from pathlib import Path

import pytest
from pyspark.sql import SparkSession
from pyspark.sql import types as T

from offerlake.config import RetentionSettings
from offerlake.errors import SchemaError
from offerlake.schemas import TABLES, table, user_features
from offerlake.schemas.page import page

ROOT = Path(__file__).parents[1]


@pytest.mark.parametrize("name", TABLES)
@pytest.mark.usefixtures("spark")
def test_a_contract_is_whole(name: str) -> None:
    contract = TABLES[name]
    assert len(set(contract.names)) == len(contract.names)
    assert set(contract.key) <= set(contract.names)
    assert not [column.name for column in contract.columns if column.name in contract.key and column.null]
    assert contract.partition is None or contract.partition in contract.names
    assert contract.retention in RetentionSettings.model_fields
    assert all(column.meaning for column in contract.columns)
    assert contract.struct.names == contract.names


def test_an_unknown_table_names_the_nearest() -> None:
    with pytest.raises(SchemaError) as caught:
        table("user_ofers")
    assert caught.value.fix == "Did you mean user_offers?"


def test_select_casts_orders_and_drops(spark: SparkSession) -> None:
    frame = spark.createDataFrame([("p1", "3", "x")], "product_id string, idx string, other string")
    selected = table("product_index").select(frame)
    assert selected.dtypes == [("product_id", "string"), ("idx", "int")]
    assert [tuple(row) for row in selected.collect()] == [("p1", 3)]


def test_check_takes_any_order_and_refuses_what_differs(spark: SparkSession) -> None:
    contract = table("product_index")
    right = spark.createDataFrame([(1, "p1")], "idx int, product_id string")
    assert contract.check(right).columns == ["product_id", "idx"]
    with pytest.raises(SchemaError, match="column idx is missing"):
        contract.check(right.drop("idx"))
    with pytest.raises(SchemaError, match="unknown column 'more'"):
        contract.check(right.selectExpr("*", "1 AS more"))
    with pytest.raises(SchemaError, match="column idx is bigint"):
        contract.check(right.selectExpr("product_id", "CAST(idx AS BIGINT) AS idx"))


def test_money_is_decimal_and_times_are_timestamps() -> None:
    lines = table("order_lines").struct
    assert lines["unit_price"].dataType == T.DecimalType(18, 4)
    assert lines["order_time"].dataType == T.TimestampType()
    assert not lines["order_id"].nullable
    assert lines["offer_id"].nullable


def test_the_page_of_tables_is_up_to_date() -> None:
    written = (ROOT / "docs" / "tables.md").read_text(encoding="utf-8")
    assert written == page(list(TABLES.values())), "run `make docs`"


def test_the_page_of_features_is_up_to_date() -> None:
    written = (ROOT / "docs" / "user_features.md").read_text(encoding="utf-8")
    assert written == user_features.page(), "run `make docs`"


def test_formulas_name_the_windows_that_are_summed() -> None:
    windows = user_features.windows_of(("carts", "used", "clicked_gift", "orders", "nothing"))
    orders = (28, 84, 336, 364)
    assert windows == {"carts": (28, 84, 364), "used": (84, 364), "clicked_gift": (364,), "orders": orders}
    assert {"orders", "spent", "sessions", "offer_clicks"} <= set(user_features.shop_sums())
    assert user_features.sums_ever() == ("gap_days", "gaps", "repeat_spent")


def test_a_feature_is_declared_once_and_says_why() -> None:
    names = [feature.name for feature in user_features.FEATURES]
    assert len(set(names)) == len(names)
    assert all(feature.unit and feature.meaning and feature.why for feature in user_features.FEATURES)


def test_the_page_has_every_column() -> None:
    text = page([table("user_index")])
    assert "## gold/user_index" in text
    assert "| `idx` | `int` |  | 32-bit number of the id, from 0; appended, never renumbered |" in text
