"""The ingest job: each file once, also when it is cut off between quarantine and table."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

import pytest
import yaml
from pyspark.sql import SparkSession

from offerlake.config import Settings
from offerlake.errors import DataError
from offerlake.job import Context, execute
from offerlake.pipeline import load_jobs
from offerlake.schemas.bronze import FEEDS
from offerlake.tables import Lake, Written

NONE = ("clicks", "products", "identities", "offer_products", "exposures", "redemptions")


@pytest.fixture
def shop(settings: Settings, tmp_path: Path) -> Settings:
    feeds = {
        "users": {"path": "users/*", "format": "csv"},
        "offers": {"path": "offers.jsonl", "format": "jsonl"},
        "orders": {"path": "orders/*.csv*", "format": "csv", "arrival_lag_minutes": 5},
    }
    mapping = tmp_path / "tiny.yaml"
    mapping.write_text(yaml.safe_dump({"source": "tiny", "feeds": feeds, "none": list(NONE)}), encoding="utf-8")
    for name in ("users", "orders"):
        (tmp_path / "landing" / name).mkdir(parents=True)
    land = tmp_path / "landing"
    (land / "users/1.csv").write_text("user_id,gender\nu1,f\nu2\n", encoding="utf-8")
    offer = {"offer_id": "o", "kind": "gift", "scope": "all", "valid_from": "2025-01-01", "valid_to": "2025-02-01"}
    (land / "offers.jsonl").write_text(json.dumps(offer) + '\n{"off', encoding="utf-8")
    (land / "orders/1.csv").write_text("order_id,line_id,user_id,product_id,order_time,quantity\n", encoding="utf-8")
    run = {"lake": str(tmp_path / "lake"), "landing": str(land), "source": str(mapping)}
    return settings.model_copy(update={"run": settings.run.model_copy(update=run)})


def ingest(spark: SparkSession, shop: Settings) -> Context:
    return execute(load_jobs()["ingest"], spark=spark, settings=shop, as_of=date(2025, 1, 31), run_id="r")


def content(spark: SparkSession, shop: Settings) -> dict[str, list[tuple[Any, ...]]]:
    lake = Lake(spark, shop.run.lake)
    found = {
        name: sorted(tuple(row) for row in lake.read(f"raw_{name}").drop("loaded_at", "loaded_date", "extra").collect())
        for name in FEEDS
    }
    refused = lake.read("quarantine").drop("loaded_at", "loaded_date", "day")
    return {**found, "quarantine": sorted(tuple(row) for row in refused.collect())}


def test_once_and_only_once(spark: SparkSession, shop: Settings) -> None:
    first = ingest(spark, shop)
    assert first.counts == {"rows_in": 4, "rows_out": 2, "quarantined": 2}
    before = content(spark, shop)
    assert [row[0] for row in before["users"]] == ["u1"]
    assert [row[4] for row in before["quarantine"]] in (["u2", '{"off'], ['{"off', "u2"])
    assert all(before[name] == [] for name in (*NONE, "orders"))
    metrics = {row["name"]: row["value"] for row in Lake(spark, shop.run.lake).read("metrics").collect()}
    assert metrics["ingest.orders.files_without_rows"] == 1
    assert metrics["ingest.users.rows"] == 1

    again = ingest(spark, shop)
    assert content(spark, shop) == before
    assert first.outputs.keys() == {"raw_users", "raw_offers", "quarantine", "source_columns"}
    assert again.outputs == {}, "files without usable rows are read again, and change nothing"
    told = Lake(spark, shop.run.lake).read("metrics").where("name = 'ingest.users.rows'").collect()
    assert [row["value"] for row in told] == [1], "what is there counts, whichever attempt brought it"

    (Path(shop.run.landing) / "users/2.csv").write_text("gender,user_id\nm,u3\n", encoding="utf-8")
    ingest(spark, shop)
    after = content(spark, shop)
    assert [(row[0], row[3]) for row in after["users"]] == [("u1", "f"), ("u3", "m")]
    assert {name: rows for name, rows in after.items() if name != "users"} == {
        name: rows for name, rows in before.items() if name != "users"
    }


def test_killed_between_quarantine_and_table(
    spark: SparkSession, shop: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    write: Callable[..., Written] = Lake.write

    def cut_off(lake: Lake, name: str, *args: Any, **kwargs: Any) -> Written:
        if name == "raw_offers":
            raise KeyboardInterrupt
        return write(lake, name, *args, **kwargs)

    with monkeypatch.context() as patch:
        patch.setattr(Lake, "write", cut_off)
        with pytest.raises(KeyboardInterrupt):
            ingest(spark, shop)
    lake = Lake(spark, shop.run.lake)
    assert sorted(row["source"] for row in lake.read("quarantine").collect()) == ["offers.jsonl", "users/1.csv"]
    assert not lake.exists("raw_offers")
    ingest(spark, shop)
    killed = content(spark, shop)
    assert len(killed["quarantine"]) == 2
    assert [row[0] for row in killed["users"]] == ["u1"]
    assert [row[0] for row in killed["offers"]] == ["o"]


def test_nothing_is_written_where_a_feed_is_wrong(spark: SparkSession, shop: Settings) -> None:
    (Path(shop.run.landing) / "offers.jsonl").unlink()
    with pytest.raises(DataError, match=r"feed offers: no file matches .*offers\.jsonl"):
        ingest(spark, shop)
    lake = Lake(spark, shop.run.lake)
    assert not any(lake.exists(f"raw_{name}") for name in FEEDS)
    assert not lake.exists("quarantine")
