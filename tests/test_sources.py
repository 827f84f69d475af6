"""`offerlake source`: what maps, what fails and why; and what a draft says that it is not sure of."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from pyspark.sql import SparkSession
from typer.testing import CliRunner

from offerlake.cli import app
from offerlake.ingest.draft import Sample, decimal_comma, draft, event_type, feed_of, time_form


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    """A landing folder whose mapping is wrong in known ways."""
    land = tmp_path / "land"
    land.mkdir()
    (land / "users.csv").write_text(
        "user_id,joined\nu1,2025-01-06\nu2,06.01.2025\nu3,\n,2025-01-07\n", encoding="utf-8"
    )
    offer = {"offer_id": "o", "kind": "gift", "scope": "all", "valid_from": "2025-01-01", "valid_to": "2025-02-01"}
    (land / "offers.jsonl").write_text(json.dumps(offer) + "\n" + json.dumps({**offer, "kind": "x"}), encoding="utf-8")
    (land / "log.csv").write_text("kind,sku,price\nproduct,a,2\nother,,\nproduct,b,dear\nproduct\n", encoding="utf-8")
    (land / "orders.csv").write_text("order_id,user,product_id,time,quantity,line_id\n", encoding="utf-8")
    feeds = {
        "users": {
            "path": "users.csv", "format": "csv", "columns": {"signup_time": "joined"}, "constants": {"region": "EU"},
        },
        "offers": {"path": "offers.jsonl", "format": "jsonl"},
        "products": {
            "path": "log.csv", "format": "csv", "columns": {"product_id": ["kind", "sku"]}, "only": {"kind": "product"},
        },
        "orders": {"path": "orders.csv", "format": "csv", "arrival_lag_minutes": 5},
    }  # fmt: skip
    none = ["clicks", "offer_products", "exposures", "redemptions"]
    (tmp_path / "mine.yaml").write_text(
        yaml.safe_dump({"source": "mine", "feeds": feeds, "none": none}), encoding="utf-8"
    )
    return tmp_path


def run(*arguments: str) -> tuple[int, str]:
    done = CliRunner().invoke(app, ["source", *arguments])
    return done.exit_code, done.stdout


def test_check_says_what_maps_what_fails_and_why(spark: SparkSession, shop: Path) -> None:
    place = [str(shop / "mine.yaml"), "--landing", str(shop / "land")]
    code, text = run("check", *place, "--json")
    said: dict[str, Any] = json.loads(text)
    assert (code, said["ok"], said["none"]) == (1, False, ["clicks", "offer_products", "exposures", "redemptions"])
    users, offers, products, orders = (said["feeds"][name] for name in ("users", "offers", "products", "orders"))
    assert (users["ok"], users["files"], users["records"], users["usable"]) == (False, 1, 4, 2)
    columns = {column["name"]: column for column in users["columns"]}
    assert columns["signup_time"] == {
        "name": "signup_time", "source": "joined", "filled": 3, "refused": 1,
        "example": "unparsable:signup_time='06.01.2025'",
    }  # fmt: skip
    assert columns["region"]["source"] == "always 'EU'"
    assert columns["user_id"]["example"] == "missing:user_id"
    assert [c["example"] for c in offers["columns"] if c["refused"]] == ["unknown:kind='x'"]
    assert (products["records"], products["usable"], products["others"]) == (3, 1, 1)
    by_name = {column["name"]: column for column in products["columns"]}
    assert by_name["product_id"]["source"] == "kind | sku"
    assert (by_name["price"]["example"], by_name["the record"]["example"]) == (
        "unparsable:price='dear'", "malformed_csv:product",
    )  # fmt: skip
    assert orders["error"].startswith("feed orders: file orders.csv has no column 'user_id', mapped to user_id")
    code, text = run("check", *place, "--rows", "1")
    assert code == 1
    assert "users: of 1 records in 1 files 1 can be used" in text
    assert "The mapping does not fit yet." in text


def test_check_of_a_mapping_that_fits(spark: SparkSession, shop: Path) -> None:
    tree = yaml.safe_load((shop / "mine.yaml").read_text(encoding="utf-8"))
    tree["feeds"] = {name: tree["feeds"][name] for name in ("offers", "users")}
    tree["feeds"]["users"]["time_format"] = ["iso", "dd.MM.yyyy"]
    tree["none"] += ["orders", "products"]
    (shop / "mine.yaml").write_text(yaml.safe_dump(tree), encoding="utf-8")
    (shop / "land/offers.jsonl").write_text(
        (shop / "land/offers.jsonl").read_text(encoding="utf-8").splitlines()[0], encoding="utf-8"
    )
    code, text = run("check", str(shop / "mine.yaml"), "--landing", str(shop / "land"))
    assert (code, "The mapping fits." in text) == (0, True)


def test_init_writes_what_check_reads(spark: SparkSession, shop: Path) -> None:
    land, target = shop / "land", shop / "drafted.yaml"
    (land / "log.csv").unlink()
    (land / "orders.csv").write_text("orderNo;CustomerID;SKU;Bestellt\n1;u1;a;06.01.2025 10:00\n", encoding="utf-8")
    code, text = run("init", str(land), "--output", str(target), "--name", "shop2")
    assert (code, "look at its comments" in text) == (0, True)
    drafted = target.read_text(encoding="utf-8")
    assert yaml.safe_load(drafted)["source"] == "shop2"
    assert "# Nothing looks like order_time, which orders need: map it." in drafted
    code, text = run("init", str(land), "--output", str(target), "--json")
    assert (code, json.loads(text)["error"]["message"]) == (2, f"{target} is there already")
    for wrong, message in (("gone", "does not exist"), ("mine.xlsx", "nothing is known of .xlsx")):
        (shop / "mine.xlsx").touch()
        code, text = run("init", str(shop / wrong), "--json")
        assert code == 2
        assert message in json.loads(text)["error"]["message"]


@pytest.mark.parametrize(
    ("texts", "form", "doubt"),
    [
        (["1736157600", "1736157600.5"], "epoch_s", False),
        (["1736157600000"], "epoch_ms", False),
        (["2025-01-06", "2025-01-06T10:00:00Z"], "iso", False),
        (["2025-01-06 10:00"], "yyyy-MM-dd HH:mm", False),
        (["2019-10-01 00:00:00 UTC"], "yyyy-MM-dd HH:mm:ss 'UTC'", False),
        (["31.12.2025"], "dd.MM.yyyy", False),
        (["12/31/2025 10:00"], "MM/dd/yyyy HH:mm", False),
        (["01/02/2025"], "dd/MM/yyyy", True),
        (["next week"], "iso", True),
        ([], "iso", False),
    ],
)
def test_how_times_are_written(texts: list[str], form: str, doubt: bool) -> None:
    found, doubted = time_form(texts)
    assert (found, doubted is not None) == (form, doubt)


def test_numbers_and_words() -> None:
    assert decimal_comma(["12", "1.234,50"])
    assert not decimal_comma(["12.50", "1,234"])
    assert [event_type(word) for word in ("Product View", "addToCart", "buy", "wishlist")] == [
        "view", "add_to_cart", "purchase", None,
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("path", "columns", "feed"),
    [
        ("a.csv", "visitor page ts event", "clicks"),
        ("a.csv", "order_id customer sku qty price date", "orders"),
        ("products.csv", "sku title price", "products"),
        ("a.csv", "customer_id sex age country", "users"),
        ("promotions.csv", "promo_id type start end", "offers"),
        ("coupons.csv", "campaign_id product_id coupon_upc", "offer_products"),
        ("campaigns_sent.csv", "campaign_id household_id sent_at", "exposures"),
        ("coupon_redemptions.csv", "household_id coupon_upc campaign_id redemption_date", "redemptions"),
        ("readme.csv", "note", None),
    ],
)
def test_a_feed_is_known_by_its_columns_and_its_file(path: str, columns: str, feed: str | None) -> None:
    assert feed_of(Sample(path, "csv", tuple(columns.split()), [])) == feed


def test_a_draft_says_what_it_is_not_sure_of() -> None:
    rows = [{"c1": "7", "c2": "wish"}]
    text = draft("x", [Sample("log/clicks.csv", "csv", ("c1", "c2"), rows, header=("c1", "c2"))])
    assert "# The file has no header line" in text
    log = Sample("events.csv", "csv", ("user", "event", "ts", "item"), [{"event": "wish", "ts": "01/02/2025"}])
    text = draft("x", [log])
    assert "say in values what these mean: wish." in text
    assert "Times fit dd/MM/yyyy and MM/dd/yyyy alike" in text
    assert "# No file looks like offers" in text
    assert "# readme.csv looks like none of the feeds." in draft("x", [Sample("readme.csv", "csv", ("note",), [])])
