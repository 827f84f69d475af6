"""Source mappings: what they may say, and what is told when they say something else."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from offerlake.errors import ConfigError
from offerlake.ingest.mapping import Source, claimed, load_source, needed, parse_source
from offerlake.schemas.bronze import FEEDS


def tree(**changes: Any) -> dict[str, Any]:
    feeds = {name: {"path": f"{name}.csv", "format": "csv"} for name in FEEDS if name != "offer_products"}
    for name, change in changes.items():
        feeds[name] = {**feeds.get(name, {"path": "x", "format": "csv"}), **change}
    return {"source": "shop", "feeds": feeds, "none": ["offer_products"]}


def test_columns_map_to_themselves_unless_told() -> None:
    source = parse_source(
        tree(users={"columns": {"user_id": "id"}, "constants": {"region": None, "consent_marketing": True}}), where="x"
    )
    users = source.feed("users")
    assert users.constants == {"region": None, "consent_marketing": "True"}
    assert claimed("users", users) == {
        "user_id": ("id",),
        "arrived_at": ("arrived_at",),
        "signup_time": ("signup_time",),
        "gender": ("gender",),
        "age_band": ("age_band",),
        "consent_profiling": ("consent_profiling",),
    }
    assert needed("users", users) == {"user_id": ("id",)}


def test_an_id_of_several_columns_and_one_that_is_the_position() -> None:
    columns = {"event_id": ["session", "ts"], "product_id": "item", "anonymous_id": "_position"}
    clicks = parse_source(tree(clicks={"columns": columns}), where="x").feed("clicks")
    mapped = claimed("clicks", clicks)
    assert (mapped["event_id"], mapped["product_id"], mapped["query"]) == (("session", "ts"), ("item",), ("query",))
    assert "anonymous_id" not in mapped


def test_parts_come_beside_what_the_feed_says() -> None:
    parts = [
        {"path": "v.csv", "constants": {"event_type": "view"}, "columns": {"user_id": "uid"}},
        {"path": "c.jsonl", "format": "jsonl", "columns": {"event_type": "kind"}, "only": {"kind": "cart"}},
    ]
    whole = {"columns": {"event_id": "id", "user_id": "u"}, "constants": {"event_type": "x"}, "time_format": ["iso"]}
    more = {"parts": parts, "path": "", "time_zone": "Europe/Berlin"}
    clicks = parse_source(tree(clicks={**whole, **more}), where="x").feed("clicks")
    views, carts = clicks.groups
    assert (views.path, views.format, views.time_zone) == ("v.csv", "csv", "Europe/Berlin")
    assert views.constants == {"event_type": "view"}
    assert views.columns == {"event_id": ("id",), "user_id": ("uid",)}
    assert (carts.format, carts.constants, carts.only) == ("jsonl", {}, {"kind": ("cart",)})
    assert carts.columns == {"event_id": ("id",), "user_id": ("u",), "event_type": ("kind",)}
    (alone,) = parse_source(tree(), where="x").feed("users").groups
    assert alone.path == "users.csv"


def test_an_event_needs_its_arrival_or_a_lag() -> None:
    source = parse_source(tree(redemptions={"arrival_lag_minutes": 5}), where="x")
    assert "arrived_at" in needed("clicks", source.feed("clicks"))
    assert "arrived_at" not in needed("redemptions", source.feed("redemptions"))


def test_prices_are_lacking_where_any_part_lacks_them() -> None:
    none = {"unit_price": None, "net_amount": None}
    parts = [{"path": "a.csv"}, {"path": "b.csv", "constants": none}]
    for orders, has in (({}, True), ({"constants": {"unit_price": None}}, True), ({"constants": none}, False)):
        assert parse_source(tree(orders=orders), where="x").feed("orders").has_prices is has
    assert not parse_source(tree(orders={"path": "", "parts": parts}), where="x").feed("orders").has_prices


def test_a_feed_that_there_is_none_of() -> None:
    assert parse_source(tree(), where="x").feed("offer_products").columns == {}


@pytest.mark.parametrize(
    ("wrong", "message", "fix"),
    [
        ({**tree(), "nnone": []}, "unknown key 'nnone'", "Did you mean none?"),
        (tree(clicks={"colums": {}}), "clicks: unknown key 'colums'", "Did you mean columns?"),
        (tree(clickss={}), "unknown feed 'clickss'", "Did you mean clicks?"),
        (tree(clicks={"columns": {"userid": "u"}}), "columns: unknown column 'userid'", "Did you mean user_id?"),
        (tree(clicks={"constants": {"chanel": "u"}}), "constants: unknown column 'chanel'", "Did you mean channel?"),
        (tree(clicks={"values": {"eventtype": {}}}), "values: unknown column 'eventtype'", "Did you mean event_type?"),
        (
            tree(clicks={"format": "xml"}),
            "feeds.clicks.format: got 'xml'",
            "'csv', 'jsonl', 'parquet', 'avro' or 'delta'",
        ),
        (tree(clicks={"time_zone": "Berlin"}), "feeds.clicks.time_zone: got 'Berlin'", "Europe/Berlin"),
        (tree(clicks={"time_format": "DD.MM.JJJJ"}), "time_format: got 'DD.MM.JJJJ'", "not 'DD.MM.JJJJ'"),
        (tree(clicks={"time_format": ["iso", "JJ"]}), "time_format: got ['iso', 'JJ']", "not 'JJ'"),
        *(
            (tree(clicks={"time_format": form}), "time_format: got", "a pattern")
            for form in ("", "ddd.MM.yy", "dd'", "{d}", "E")
        ),
        (tree(clicks={"time_format": []}), "time_format: got []", "at least 1 item"),
        (tree(clicks={"decimal": "'"}), "feeds.clicks.decimal: got", "'.' or ','"),
        (tree(clicks={"path": ""}), "clicks: no path", "parts"),
        (tree(clicks={"columns": {"event_id": ["a", "_position"]}}), "event_id: got _position in a list", "alone"),
        (tree(clicks={"columns": {"event_id": []}}), "columns.event_id: got []", "at least 1 item"),
        (tree(clicks={"parts": [{"pathh": "x"}]}), "clicks: parts: unknown key 'pathh'", "Did you mean path?"),
        (
            tree(clicks={"parts": [{"path": "x", "decimal": ","}]}),
            "clicks: parts: got decimal",
            "Give decimal to the feed",
        ),
        (tree(clicks={"parts": 5}), "feeds.clicks.parts: got 5", "tuple"),
        (
            tree(clicks={"path": "", "parts": [{"path": "x", "columns": ["a"]}]}),
            "parts: columns: got ['a']",
            "dictionary",
        ),
        (tree(clicks={"parts": [{"path": "x"}]}), "clicks: path: of a part it is its own", "the feed none"),
        (tree(clicks={"path": "", "parts": [{"format": "csv"}]}), "clicks: path: of a part it is its own", "a path"),
        (tree(clicks={"decimal": ",", "format": "jsonl"}), "decimal: got ',' for jsonl", "Only CSV"),
        (tree(users={"arrival_lag_minutes": 5}), "arrival_lag_minutes: users have none", "arrived_at"),
        (tree(users={"format": "avro", "header": ["a"]}), "users: header: avro has none", "csv"),
        (
            tree(clicks={"format": "delta", "columns": {"event_id": "_position"}}),
            "got _position for delta",
            "compacted",
        ),
        (tree(clicks={"parts": ["x.csv"]}), "feeds.clicks.parts.0: got 'x.csv'", "dictionary"),
        (tree(clicks={"path": "", "parts": [{"path": "x", "format": "xml"}]}), "parts: format: got 'xml'", "avro"),
        (
            tree(clicks={"path": "", "parts": [{"path": "x", "columns": {"userid": "u"}}]}),
            "unknown column 'userid'",
            "Did you mean user_id?",
        ),
        (tree(clicks={"arrival_lag_minutes": -1}), "arrival_lag_minutes: got -1", "greater than or equal to 0"),
        (tree(clicks={"constants": {"arrived_at": None}}), "no arrived_at", "arrival_lag_minutes"),
        (tree(clicks={"columns": {"device": "d"}, "constants": {"device": 1}}), "device is in columns", "Keep one"),
        (tree(users={"constants": {"user_id": None}}), "user_id: got null", "users needs user_id"),
        ({**tree(), "none": []}, "feed offer_products is not mapped", "none:"),
        ({**tree(), "none": ["offer_products", "clicks"]}, "feed clicks is mapped and in none", "once"),
        ({"source": "x", "feeds": {}, "none": list(FEEDS)}, "none: got users", "nothing can be assigned"),
        ([], "got list", "source:"),
        (tree(clicks={"topic": "t", "path": "x", "format": "jsonl"}), "clicks: topic: beside path", "or in a topic"),
        (tree(clicks={"topic": "t", "path": ""}), "clicks: format: got csv of a topic", "jsonl or avro"),
        (tree(clicks={"topic": "a,b", "path": ""}), "feeds.clicks.topic: got 'a,b'", "pattern"),
        (tree(clicks={"topic": "t", "path": "", "format": "avro"}), "clicks: avsc: none for avro", "schema's file"),
        (
            tree(clicks={"topic": "t", "path": "", "format": "jsonl", "avsc": "{}"}),
            "clicks: avsc: there for jsonl",
            "there only",
        ),
        (tree(clicks={"format": "avro", "avsc": "{}"}), "clicks: avsc: there is no topic", "schema within"),
        *(
            (tree(clicks={"topic": "t", "path": "", "format": "avro", "avsc": avsc}), message, fix)
            for avsc, message, fix in (
                ({7: '{"type": "long"}'}, "avsc: no schema of a record", "Avro record"),
                ("no json", "avsc: no schema of a record: 'no json'", "Avro record"),
                ({"x": "{}"}, "avsc.x", "integer"),
            )
        ),
        (
            tree(clicks={"topic": "t", "path": "", "parts": [{"path": "x"}], "format": "jsonl"}),
            "clicks: topic: beside parts",
            "or in a topic",
        ),
        ({"source": "x", "feeds": None}, "feeds: got None", "feeds:"),
    ],
)
def test_mistakes_are_told(wrong: Any, message: str, fix: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_source(wrong, where="x.yaml")
    assert message in caught.value.message
    assert fix in caught.value.fix


def test_files(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"run\.source: 'shopp'"):
        load_source("shopp")
    path = tmp_path / "mine.yaml"
    path.write_text("source: [", encoding="utf-8")
    with pytest.raises(ConfigError, match="not YAML"):
        load_source(str(path))


def test_schemas_lie_beside_the_mapping(tmp_path: Path) -> None:
    schema = '{"type": "record", "name": "click", "fields": [{"name": "a", "type": "string"}]}'
    (tmp_path / "one.avsc").write_text(schema, encoding="utf-8")
    topic = {"topic": "clicks", "path": "", "format": "avro"}
    path = tmp_path / "mine.yaml"
    for avsc, found in (("one.avsc", {-1: schema}), ({7: "one.avsc"}, {7: schema})):
        path.write_text(yaml.safe_dump(tree(clicks={**topic, "avsc": avsc})), encoding="utf-8")
        assert load_source(str(path)).feed("clicks").avsc == found
    path.write_text(yaml.safe_dump(tree(clicks={**topic, "avsc": "two.avsc"})), encoding="utf-8")
    with pytest.raises(ConfigError, match=r"clicks: avsc: two\.avsc: No such file"):
        load_source(str(path))


def test_the_mapping_of_the_complete_journey() -> None:
    source = load_source("completejourney")
    assert isinstance(source, Source)
    assert source.none == ("clicks", "identities")
