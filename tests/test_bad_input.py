"""What a user gets who gives wrong data: one clear message, the right exit code, and nothing half-written."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml
from pyspark.sql import SparkSession
from typer.testing import CliRunner

from conftest import TEST_SETS
from offerlake.cli import app
from offerlake.tables import Lake

USERS = "user_id,arrived_at\nu1,2025-01-01T00:00:00Z\n"
ORDERS = "order_id,line_id,user_id,product_id,order_time,quantity,unit_price\n"
ORDER = "o1,1,u1,p1,2025-01-06T12:00:00Z,1,2.50\n"
NONE = ["clicks", "products", "identities", "offer_products", "exposures", "redemptions"]


@dataclass(frozen=True)
class Shop:
    """A shop of two feeds, and a lake to come."""

    root: Path
    lake: Lake

    def land(self, feed: str, text: str) -> None:
        """Writes the one file of a feed."""
        (self.root / f"{feed}.csv").write_text(text, encoding="utf-8")

    def run(self, *arguments: str, expect: int = 0) -> dict[str, Any]:
        """`offerlake run` with `--json`, in this session."""
        sets = [f"run.source={self.root / 'shop.yaml'}", f"run.landing={self.root}", *TEST_SETS]
        options = [word for setting in sets for word in ("--set", setting)]
        day = ["--as-of", "2025-02-01"]
        done = CliRunner().invoke(app, ["run", *day, *arguments, "--lake", self.lake.root, "--json", *options])
        assert done.exit_code == expect, done.output
        content = json.loads(done.stdout)
        return dict(content["error"] if expect else content)

    def rows(self, name: str) -> int:
        """Rows of a table; 0 where it is not there."""
        return self.lake.read(name).count() if self.lake.exists(name) else 0


@pytest.fixture
def shop(spark: SparkSession, tmp_path: Path) -> Shop:
    feeds = {name: {"path": f"{name}.csv", "format": "csv"} for name in ("users", "offers", "orders")}
    feeds["orders"]["arrival_lag_minutes"] = 0  # type: ignore[assignment]
    mapping = yaml.safe_dump({"source": "shop", "feeds": feeds, "none": NONE})
    (tmp_path / "shop.yaml").write_text(mapping, encoding="utf-8")
    made = Shop(tmp_path, Lake(spark, str(tmp_path / "lake")))
    made.land("users", USERS)
    made.land("offers", "offer_id,kind,scope,valid_from,valid_to\ng,gift,all,2024-01-01,2024-06-01\n")
    made.land("orders", ORDERS + ORDER)
    return made


def test_a_missing_feed(shop: Shop) -> None:
    (shop.root / "users.csv").unlink()
    error = shop.run("--only", "ingest", expect=1)
    assert error["kind"] == "DataError"
    assert error["message"].startswith("feed users: no file matches")
    assert shop.rows("raw_orders") == shop.rows("quarantine") == 0
    assert not (shop.root / "lake" / "bronze").exists()


def test_an_empty_file(shop: Shop) -> None:
    shop.land("orders", "")
    error = shop.run("--only", "ingest", expect=1)
    assert (error["kind"], error["message"]) == ("DataError", "feed orders: file orders.csv is empty")
    assert shop.rows("raw_users") == 0


def test_a_header_without_rows(shop: Shop) -> None:
    """Of orders it is a day without any; without users nothing can be assigned."""
    shop.land("orders", ORDERS)
    shop.run("--only", "ingest")
    assert (shop.rows("raw_orders"), shop.rows("raw_users"), shop.rows("quarantine")) == (0, 1, 0)
    told = shop.lake.read("metrics").where("name = 'ingest.orders.files_without_rows'").collect()
    assert [row["value"] for row in told] == [1.0]


def test_a_column_of_another_type(shop: Shop) -> None:
    shop.land("orders", ORDERS + ORDER.replace(",1,2.50", ",one,2.50"))
    jobs = ["ingest", "clean_users", "clean_products", "clean_orders"]
    error = shop.run(*[word for name in jobs for word in ("--only", name)], expect=1)
    assert error["kind"] == "DataError"
    assert error["message"].startswith("feed orders: none of its 1 records can be used: quantity is unparsable")
    assert shop.rows("users") == 1
    assert shop.rows("order_lines") == 0
