"""What is kept track of in the sources: columns that come, and columns that come as something else."""

from __future__ import annotations

import json
from datetime import date
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml
from pyspark.sql import SparkSession
from pyspark.sql import functions as F

from offerlake.clean.feeds import PARSED
from offerlake.clean.orders import LIST_PRICE
from offerlake.clean.parse import Parser
from offerlake.config import Settings
from offerlake.ingest.mapping import load_source
from offerlake.job import execute
from offerlake.pipeline import load_jobs
from offerlake.schemas import MONEY
from offerlake.schemas.bronze import FEEDS
from offerlake.tables import Lake

ORDER = {"order_id": "o", "line_id": 1, "user_id": "u", "product_id": "p", "order_time": "2025-01-06", "quantity": 1}


@pytest.fixture
def shop(settings: Settings, tmp_path: Path) -> Settings:
    feeds = {
        "users": {"path": "users*.csv", "format": "csv"},
        "offers": {"path": "offers*.parquet", "format": "parquet"},
        "orders": {"path": "orders*.jsonl", "arrival_lag_minutes": 5},
    }
    none = [name for name in FEEDS if name not in feeds]
    mapping = yaml.safe_dump({"source": "shop", "feeds": feeds, "none": none})
    (tmp_path / "shop.yaml").write_text(mapping, encoding="utf-8")
    (tmp_path / "users1.csv").write_text("user_id,gender\nu1,f\n", encoding="utf-8")
    offer = {"offer_id": "o", "kind": "gift", "scope": "all", "valid_from": "2025-01-01", "valid_to": "2025-02-01"}
    pq.write_table(pa.Table.from_pylist([{**offer, "depth": 1}]), tmp_path / "offers1.parquet")
    land(tmp_path, 1, {"unit_price": 2.5}, {"unit_price": 3})
    run = {"lake": str(tmp_path / "lake"), "landing": str(tmp_path), "source": str(tmp_path / "shop.yaml")}
    return settings.model_copy(update={"run": settings.run.model_copy(update=run)})


def land(folder: Path, number: int, *orders: dict[str, object]) -> None:
    lines = [json.dumps({**ORDER, "line_id": place, **order}) for place, order in enumerate(orders)]
    (folder / f"orders{number}.jsonl").write_text("\n".join(lines), encoding="utf-8")


def test_a_column_that_comes_and_one_that_changes(spark: SparkSession, shop: Settings, tmp_path: Path) -> None:
    lake = Lake(spark, shop.run.lake)

    def ingest(run_id: str) -> dict[str, float]:
        execute(load_jobs()["ingest"], spark=spark, settings=shop, as_of=date(2025, 1, 31), run_id=run_id)
        told = lake.read("metrics").where(f"run_id = '{run_id}' AND (name LIKE '%columns' OR name LIKE '%types')")
        return {row["name"].removeprefix("ingest."): row["value"] for row in told.collect() if row["value"]}

    def columns() -> dict[tuple[str, str], str]:
        rows = lake.read("source_columns").collect()
        return {(f"{row['feed']}.{row['column']}", row["type"]): row["first_source"] for row in rows}

    assert ingest("first") == {}, "what a feed begins with is not new"
    first = columns()
    assert first[("users.gender", "string")] == "users1.csv"
    assert first[("offers.depth", "bigint")] == "offers1.parquet"
    assert first[("orders.unit_price", "number")] == "orders1.jsonl"
    assert len(first) == 2 + 6 + 7

    (tmp_path / "users2.csv").write_text("user_id,colour,gender\nu2,red,m\n", encoding="utf-8")
    land(tmp_path, 2, {"unit_price": "2.50"}, {"unit_price": {"net": 2}}, {"unit_price": "dear", "tags": [1]})
    assert ingest("second") == {
        "users.new_columns": 1,
        "orders.new_columns": 1,
        "orders.changed_types": 2,
    }
    assert columns().items() - first.items() == {
        (("users.colour", "string"), "users2.csv"),
        (("orders.unit_price", "string"), "orders2.jsonl"),
        (("orders.unit_price", "object"), "orders2.jsonl"),
        (("orders.tags", "array"), "orders2.jsonl"),
    }
    assert {row["extra"]["colour"] for row in lake.read("raw_users").collect() if row["extra"]} == {"red"}
    version = lake.version("source_columns")
    land(tmp_path, 3, {"unit_price": "3", "tags": []})
    assert ingest("third") == {}
    assert lake.version("source_columns") == version

    # What no longer fits is refused when it is cleaned, by name and value.
    raw = lake.read("raw_orders").withColumn(LIST_PRICE, F.lit(0).cast(MONEY))
    reading = Parser(load_source(shop.run.source).feed("orders"), 100, shop.clean)
    parsed = PARSED["orders"](raw, reading).where("source = 'orders2.jsonl'").collect()
    assert {row["line_id"]: (row["_status"], row["_reasons"]) for row in parsed} == {
        "0": ("good", []),
        "1": ("refused", ["unparsable:unit_price='{\"net\":2}'"]),
        "2": ("refused", ["unparsable:unit_price='dear'"]),
    }


def test_a_late_key_of_a_long_file_is_found(spark: SparkSession, shop: Settings, tmp_path: Path) -> None:
    """Beyond the first thousand records the text is looked into where a record has a key that is not known."""
    land(tmp_path, 1, *({} for _ in range(1500)), {"late": True})
    execute(load_jobs()["ingest"], spark=spark, settings=shop, as_of=date(2025, 1, 31), run_id="r")
    rows = Lake(spark, shop.run.lake).read("source_columns").where("column = 'late'").collect()
    assert [(row["type"], row["first_source"]) for row in rows] == [("boolean", "orders1.jsonl")]
