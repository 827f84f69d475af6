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
from offerlake.sources import samples


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
            "path": "users.csv", "format": "csv", "columns": {"signup_time": "joined", "gender": "_position"},
            "constants": {"region": "EU"},
        },
        "offers": {"path": "offers.jsonl", "format": "jsonl"},
        "products": {
            "path": "log.csv", "format": "csv", "columns": {"product_id": ["kind", "sku"]}, "only": {"kind": "product"},
        },
        "orders": {"path": "orders.csv", "format": "csv", "arrival_lag_minutes": 5},
    }  # fmt: skip
    none = ["clicks", "identities", "offer_products", "exposures", "redemptions"]
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
    assert (code, said["ok"], said["none"]) == (
        1,
        False,
        ["clicks", "identities", "offer_products", "exposures", "redemptions"],
    )
    users, offers, products, orders = (said["feeds"][name] for name in ("users", "offers", "products", "orders"))
    assert (users["ok"], users["files"], users["records"], users["usable"]) == (False, 1, 4, 2)
    columns = {column["name"]: column for column in users["columns"]}
    assert columns["signup_time"] == {
        "name": "signup_time", "source": "joined", "filled": 3, "refused": 1,
        "example": "unparsable:signup_time='06.01.2025'",
    }  # fmt: skip
    assert columns["region"]["source"] == "always 'EU'"
    assert (columns["gender"]["source"], columns["gender"]["filled"]) == ("the record's place", 4)
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
    (shop / "mine.xlsx").touch()
    for wrong, message in (
        ([str(shop / "gone")], "does not exist"),
        ([str(shop / "mine.xlsx")], "its ending says nothing"),
        ([str(land), "--output", str(shop / "gone/x.yaml")], "is no folder"),
        ([str(land), "--landing", str(shop / "mine")], "is not below"),
    ):
        (shop / "mine").mkdir(exist_ok=True)
        code, text = run("init", *wrong, "--json")
        assert code == 2
        assert message in json.loads(text)["error"]["message"]


def test_init_of_odd_files(spark: SparkSession, tmp_path: Path) -> None:
    (tmp_path / "2025/01/06").mkdir(parents=True)
    (tmp_path / "2025/01/06/log1.jsonl").write_text(
        '{"user": "u", "ts": 1}\n{"user": "u", "ts": 2, "sku": "a"}\n', encoding="utf-8"
    )
    (tmp_path / "2025/01/06/log2.jsonl").write_text('{"user": "u", "ts": 1, "url": "/"}\n', encoding="utf-8")
    (tmp_path / "a[1].csv").write_text("\ufeff,order_id,Übersicht\n0,7,x\n", encoding="utf-8")
    (tmp_path / "array.json").write_text('[{"user": "u"}]', encoding="utf-8")
    (tmp_path / "wide.csv").write_bytes("user_id\nu\n".encode("utf-16"))
    (tmp_path / "empty.csv").touch()
    (tmp_path / "README.md").write_text("no log", encoding="utf-8")
    read = {sample.path: sample for sample in samples(spark, [tmp_path], tmp_path, rows=9)}
    assert read["*/*/*/log*.jsonl"].columns == ("user", "ts", "sku", "url")
    assert read["a\\[*\\].csv"].columns == ("", "order_id", "Übersicht")
    notes = {path: sample.note for path, sample in read.items() if not sample.columns}
    assert notes == {
        "array.json": "has no line that is a JSON object",
        "wide.csv": "is not written in UTF-8",
        "empty.csv": "is empty",
    }  # fmt: skip
    assert "# array.json has no line that is a JSON object." in draft("a: b", list(read.values()))
    assert yaml.safe_load(draft("a: b", list(read.values())))["source"] == "a: b"


def test_a_pattern_takes_no_other_files(spark: SparkSession, tmp_path: Path) -> None:
    for name in ("1.csv", "2.csv"):
        (tmp_path / name).write_text("order_id,user\n7,u\n", encoding="utf-8")
    (tmp_path / "users.csv").write_text("user,sex\nu,f\n", encoding="utf-8")
    read = samples(spark, [tmp_path], tmp_path, rows=9)
    assert [sample.path for sample in read] == ["1.csv", "2.csv", "users.csv"]


def test_check_looks_at_the_last_file_and_at_all_that_ingesting_would_refuse(spark: SparkSession, shop: Path) -> None:
    tree = yaml.safe_load((shop / "mine.yaml").read_text(encoding="utf-8"))
    land = shop / "land"
    (land / "users-1.csv").write_text("user_id\n" + "".join(f"u{n}\n" for n in range(50)), encoding="utf-8")
    (land / "users-2.csv").write_text("user_id\n" + ",\n" * 50, encoding="utf-8")
    (land / "orders.csv").write_text("order_id,line_id,user_id,product_id,order_time,quantity\n", encoding="utf-8")
    tree["feeds"]["users"] = {"path": "users-*.csv", "format": "csv"}
    tree["feeds"]["products"]["only"] = {"kind": "none such"}
    part = {"path": "offers.jsonl", "format": "jsonl"}
    tree["feeds"]["offers"] = {"parts": [part, part]}
    (shop / "mine.yaml").write_text(yaml.safe_dump(tree), encoding="utf-8")
    _, text = run("check", str(shop / "mine.yaml"), "--landing", str(land), "--rows", "40", "--json")
    said = json.loads(text)["feeds"]
    assert (said["users"]["records"], said["users"]["usable"], said["users"]["ok"]) == (40, 20, False)
    assert (said["orders"]["records"], said["orders"]["ok"]) == (0, True)
    assert "is in two parts" in said["offers"]["error"]
    assert (said["products"]["usable"], said["products"]["ok"]) == (0, False)


@pytest.mark.parametrize(
    ("texts", "form", "doubt"),
    [
        (["1736157600", "1736157600.5"], "epoch_s", False),
        (["1736157600000"], "epoch_ms", False),
        (["2025-01-06", "2025-01-06T10:00:00Z"], "iso", False),
        (["2025-01-06 10:00", "2025-01-06T10:00"], "iso", False),
        (["2019-10-01 00:00:00 UTC"], "iso", False),
        (["1/16/2025 9:05", "12/31/2025 10:05"], "M/d/yyyy H:mm", False),
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


def test_a_draft_of_a_log_with_gaps() -> None:
    rows = [
        {"user": "u", "session": "s", "event": "view", "ts": "1736157600", "sku": "a", "price": "2"},
        {"user": None, "session": "s", "event": "search", "ts": "1736157601", "sku": None, "price": None},
    ]
    log = Sample("log-*.jsonl", "jsonl", ("user", "session", "event", "ts", "sku", "price"), rows)
    feeds = yaml.safe_load(draft("x", [log]))["feeds"]
    assert (
        feeds["clicks"]["columns"] | {"event_id": "_position", "anonymous_id": "session"} == feeds["clicks"]["columns"]
    )
    assert feeds["products"]["only"] == {"sku": "*"}
    assert feeds["products"]["columns"]["arrived_at"] == "ts"
    assert (feeds["users"]["only"], feeds["users"]["time_format"]) == ({"user": "*"}, "epoch_s")
    people = Sample("users.csv", "csv", ("customer_id", "sex"), [])
    visits = Sample("log.csv", "csv", ("visitor", "event", "ts", "sku"), [])
    assert yaml.safe_load(draft("x", [people, visits]))["feeds"]["clicks"]["columns"]["anonymous_id"] == "visitor"
    assert yaml.safe_load(draft("x", [visits]))["feeds"]["clicks"]["columns"]["user_id"] == "visitor"


def test_a_draft_of_times_of_several_forms() -> None:
    rows = [{"user_id": "u", "signup": "06.01.2025", "updated_at": "2025-01-06", "sex": "f"}]
    mixed = Sample("users.csv", "csv", tuple(rows[0]), rows)
    assert yaml.safe_load(draft("x", [mixed]))["feeds"]["users"]["time_format"] == ["iso", "dd.MM.yyyy"]
    names = ("session", "ts", "sku")
    parts = [
        Sample(f"log/{file}.csv", "csv", names, [{"ts": ts}]) for file, ts in (("a", "1736157600"), ("b", "06.01.2025"))
    ]
    assert yaml.safe_load(draft("x", parts))["feeds"]["clicks"]["time_format"] == ["dd.MM.yyyy", "epoch_s"]
