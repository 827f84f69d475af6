"""Landing files to bronze: each record once, the broken ones in quarantine, mistakes told by name."""

from __future__ import annotations

import gzip
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pyspark.sql import DataFrame, SparkSession

from offerlake import files
from offerlake.errors import DataError
from offerlake.ingest.feed import Batch, read_feed
from offerlake.ingest.mapping import Feed

LOADED = datetime(2025, 9, 3, 12, tzinfo=UTC)


def read(spark: SparkSession, landing: Path, name: str, known: tuple[str, ...] = (), **mapping: Any) -> Batch:
    batch = read_feed(
        spark,
        name,
        Feed(**mapping),
        landing=files.qualified(spark, str(landing)),
        known=known,
        loaded_at=LOADED,
        quote=20,
    )
    assert batch is not None
    return batch


def rows(frame: DataFrame, *columns: str) -> list[tuple[Any, ...]]:
    return sorted(tuple(row) for row in frame.select(*columns).collect())


def land(path: Path, content: str | bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    raw = content.encode() if isinstance(content, str) else content
    path.write_bytes(gzip.compress(raw) if path.suffix == ".gz" else raw)


def test_json_lines(spark: SparkSession, tmp_path: Path) -> None:
    land(
        tmp_path / "products/a.jsonl",
        '{"id": "p1", "title": "Tea", "price": 2.5, "tags": ["a", "b"], "price": 2.5}\n\n{"id": "p2", "title": null}\n',
    )
    land(tmp_path / "products/b c+%41.jsonl.gz", '{"id": "p3", "title": "Jar {}", "dim": {"w": 1}}')
    batch = read(
        spark,
        tmp_path,
        "products",
        path="products/*",
        format="jsonl",
        columns={"product_id": "id", "name": "title"},
        constants={"brand": "Own", "category": None},
    )
    assert rows(batch.good, "product_id", "name", "price", "brand", "source", "source_position") == [
        ("p1", "Tea", "2.5", "Own", "products/a.jsonl", "1"),
        ("p2", None, None, "Own", "products/a.jsonl", "3"),
        ("p3", "Jar {}", None, "Own", "products/b c+%41.jsonl.gz", "1"),
    ]
    extra = {row["product_id"]: row["extra"] for row in batch.good.collect()}
    assert extra == {"p1": {"tags": '["a","b"]'}, "p2": {}, "p3": {"dim": '{"w":1}'}}
    assert (batch.rows, batch.refused, batch.files, batch.without_rows) == (3, 0, 2, ())


BROKEN = [
    (b'{"product_id": "x"', "malformed_json"),
    (b'{"product_id": "x"} tail', "malformed_json"),
    (b'{"product_id": "x"}{"product_id": "y"}', "malformed_json"),
    (b'{"product_id": "x"},{"product_id": "y"}', "malformed_json"),
    (b'{"product_id": "x"}]', "malformed_json"),
    (b'["x"]', "malformed_json"),
    (b"null", "malformed_json"),
    (b"product_id,x", "malformed_json"),
    (b'{"product_id": "\xff\xfe"}', "encoding"),
]


def test_broken_json(spark: SparkSession, tmp_path: Path) -> None:
    land(tmp_path / "p.jsonl", b'{"product_id": "good"}\n' + b"\n".join(line for line, _ in BROKEN))
    batch = read(spark, tmp_path, "products", path="p.jsonl", format="jsonl")
    assert rows(batch.good, "product_id", "source_position") == [("good", "1")]
    texts = [line.decode(errors="replace") for line, _ in BROKEN]
    refused = batch.quarantined.orderBy("record_id").collect()
    assert sorted(row["reasons"][0] for row in refused) == sorted(
        f"{code}:{text[:20]}" for text, (_, code) in zip(texts, BROKEN, strict=True)
    )
    assert sorted(row["record"] for row in refused) == sorted(texts)
    assert {(row["feed"], row["job"], row["source"]) for row in refused} == {("products", "ingest", "p.jsonl")}
    assert len({row["record_id"] for row in refused}) == len(BROKEN)
    assert (batch.rows, batch.refused) == (10, 9)


def test_each_csv_by_its_own_header(spark: SparkSession, tmp_path: Path) -> None:
    land(tmp_path / "u/1.csv", 'user_id,sex,colour\nu1,f,"red, or ""so"""\nu2,m\nu3,f,blue,more\n')
    land(tmp_path / "u/2.csv", "\ufeffsex,user_id\nm,u4\n")
    land(tmp_path / "u/3.csv.gz", "user_id,sex,colour\nu5,,green\n")
    land(tmp_path / "u/4.csv", b"user_id,sex\nu\xff6,m\n")
    land(tmp_path / "u/5.csv", "user_id,sex\n")
    batch = read(spark, tmp_path, "users", path="u/*", format="csv", columns={"gender": "sex"})
    assert rows(batch.good, "user_id", "gender", "source", "source_position") == [
        ("u1", "f", "u/1.csv", "1"),
        ("u4", "m", "u/2.csv", "1"),
        ("u5", None, "u/3.csv.gz", "1"),
    ]
    extra = {row["user_id"]: row["extra"] for row in batch.good.collect()}
    assert extra == {"u1": {"colour": 'red, or "so"'}, "u4": {}, "u5": {"colour": "green"}}
    assert rows(batch.quarantined, "source", "record") == [
        ("u/1.csv", "u2,m"),
        ("u/1.csv", "u3,f,blue,more"),
        ("u/4.csv", "u\ufffd6,m"),
    ]
    assert sorted(row["reasons"][0] for row in batch.quarantined.collect()) == [
        "encoding:u\ufffd6,m",
        "malformed_csv:u2,m",
        "malformed_csv:u3,f,blue,more",
    ]
    assert (batch.rows, batch.refused, batch.files, batch.without_rows) == (6, 3, 5, ("u/5.csv",))


def test_csv_over_several_lines(spark: SparkSession, tmp_path: Path) -> None:
    land(tmp_path / "p.csv", 'product_id;name;description\np1;Tea;"two\nlines; ""quoted"""\np2;Mug\n')
    batch = read(spark, tmp_path, "products", path="p.csv", format="csv", separator=";", multi_line=True)
    assert rows(batch.good, "product_id", "description", "source_position") == [("p1", 'two\nlines; "quoted"', "1")]
    assert rows(batch.quarantined, "record") == [("p2;Mug",)]


def test_parquet(spark: SparkSession, tmp_path: Path) -> None:
    (tmp_path / "o").mkdir()
    when = pd.Timestamp("2025-01-06 10:00:00.5", tz="UTC")
    order = {"order_id": 1, "line_id": 1, "user_id": "u", "product_id": "p", "order_time": when, "quantity": 2}
    for number, row in enumerate(
        ({**order, "tags": ["x"]}, {**order, "order_id": 2, "order_time": when.tz_localize(None)}), start=1
    ):
        pq.write_table(pa.Table.from_pylist([row]), tmp_path / f"o/{number}.parquet", coerce_timestamps="us")
    batch = read(spark, tmp_path, "orders", path="o", format="parquet", arrival_lag_minutes=60)
    assert rows(batch.good, "order_id", "quantity", "order_time", "source", "source_position") == [
        ("1", "2", "2025-01-06T10:00:00.500000Z", "o/1.parquet", "1"),
        ("2", "2", "2025-01-06 10:00:00.5", "o/2.parquet", "1"),
    ]
    assert {row["order_id"]: row["extra"] for row in batch.good.collect()} == {"1": {"tags": '["x"]'}, "2": {}}


def test_a_column_of_several_tells_apart_what_differs(spark: SparkSession, tmp_path: Path) -> None:
    pairs = [("a|b", "c"), ("a", "b|c"), ("a\\", "|c"), ("a\\|", "c"), ("", "c"), ("a", "c")]
    land(tmp_path / "p.jsonl", "".join(json.dumps({"x": x, "y": y, "name": x + y}) + "\n" for x, y in pairs))
    land(tmp_path / "q.csv", "x,y\nq,\nq,r\n")
    mapped = {"columns": {"product_id": ["x", "y"], "brand": "_position"}}
    batch = read(spark, tmp_path, "products", path="p.jsonl", format="jsonl", **mapped)
    ids = [row["product_id"] for row in batch.good.collect()]
    assert len(set(ids)) == len(pairs)
    assert ids[-1] == "a|c"
    assert [row["extra"] for row in batch.good.collect()] == [{}] * len(pairs)
    told = read(spark, tmp_path, "products", path="q.csv", format="csv", **mapped)
    assert rows(told.good, "source_position", "product_id", "brand") == [
        ("1", None, "q.csv#1"),
        ("2", "q|r", "q.csv#2"),
    ]


def test_one_file_is_read_as_several_feeds(spark: SparkSession, tmp_path: Path) -> None:
    land(
        tmp_path / "log.jsonl",
        '{"kind": "view", "id": 1}\n{"kind": "buy", "id": 2}\n\n{"id": 3}\nbroken\n{"kind": "cart", "id": 4}\n',
    )
    mapping = {"path": "log.jsonl", "format": "jsonl", "columns": {"product_id": "id"}}
    seen = read(spark, tmp_path, "products", only={"kind": ["view", "cart"]}, **mapping)
    assert rows(seen.good, "product_id", "source_position") == [("1", "1"), ("4", "6")]
    assert (seen.rows, seen.refused, seen.others) == (3, 1, 2)
    bought = read(spark, tmp_path, "products", only={"kind": "buy"}, **mapping)
    assert rows(bought.good, "product_id", "source_position") == [("2", "2")]
    assert rows(bought.quarantined, "record") == [("broken",)]
    land(tmp_path / "log.csv", "kind,id\nview,1\nbuy,2\nbuy,3,x\n")
    mapping |= {"path": "log.csv", "format": "csv"}
    flat = read(spark, tmp_path, "products", only={"kind": "buy"}, **mapping)
    assert rows(flat.good, "product_id", "source_position") == [("2", "2")]
    assert (flat.rows, flat.refused, flat.others) == (2, 1, 1)
    with pytest.raises(DataError, match="no column 'kid', in only"):
        read(spark, tmp_path, "products", only={"kid": "buy"}, **mapping)
    with pytest.raises(DataError, match="no record has all that only asks: kid"):
        read(spark, tmp_path, "products", only={"kid": "buy"}, **{**mapping, "path": "log.jsonl", "format": "jsonl"})
    land(tmp_path / "gaps.csv", "kind,id\nview,1\n ,2\n")
    told = read(spark, tmp_path, "products", only={"kind": "*"}, **{**mapping, "path": "gaps.csv"})
    assert (told.rows, told.others) == (1, 1)


def test_a_feed_of_several_kinds_of_files(spark: SparkSession, tmp_path: Path) -> None:
    land(tmp_path / "views.csv", "item,user\np1,u1\np2,u2\n")
    land(tmp_path / "buys.jsonl", '{"id": "p3", "user": "u1"}\n')
    parts: list[dict[str, Any]] = [
        {"path": "views*.csv", "format": "csv", "columns": {"product_id": "item"}, "constants": {"brand": "seen"}},
        {
            "path": "buys*",
            "columns": {"product_id": "id", "description": "_position"},
            "constants": {"brand": "bought"},
        },
    ]
    batch = read(spark, tmp_path, "products", parts=parts, columns={"name": "user"})
    assert rows(batch.good, "product_id", "brand", "name", "source") == [
        ("p1", "seen", "u1", "views.csv"),
        ("p2", "seen", "u2", "views.csv"),
        ("p3", "bought", "u1", "buys.jsonl"),
    ]
    assert {row["description"] for row in batch.good.collect()} == {None, "buys.jsonl#1"}
    land(tmp_path / "views2.csv", "item,user\np4,u1\n")
    more = read(spark, tmp_path, "products", known=("views.csv", "buys.jsonl"), parts=parts, columns={"name": "user"})
    assert rows(more.good, "product_id") == [("p4",)]
    parts[1]["path"] = "views.csv"
    with pytest.raises(DataError, match=r"views\.csv is in two parts"):
        read(spark, tmp_path, "products", parts=parts)


def test_what_lies_within_an_object(spark: SparkSession, tmp_path: Path) -> None:
    record = {"item": {"id": 7, "brand": {"name": "Own"}}, "a.b": "dot"}
    land(tmp_path / "p.jsonl", json.dumps(record))
    pq.write_table(pa.Table.from_pylist([record]), tmp_path / "p.parquet")
    columns = {"product_id": "item.id", "brand": "item.brand.name", "name": "a.b"}
    for form in ("jsonl", "parquet"):
        batch = read(spark, tmp_path, "products", path=f"p.{form}", format=form, columns=columns)
        assert rows(batch.good, "product_id", "brand", "name") == [("7", "Own", "dot")]
        assert [row["extra"].keys() for row in batch.good.collect()] == [{"item"}]
    with pytest.raises(DataError, match=r"no column 'item\.idd', mapped to product_id"):
        read(spark, tmp_path, "products", path="p.parquet", format="parquet", columns={"product_id": "item.idd"})
    with pytest.raises(DataError, match=r"no key 'item\.idd', mapped to product_id"):
        read(spark, tmp_path, "products", path="p.jsonl", format="jsonl", columns={"product_id": "item.idd"})


def test_avro(spark: SparkSession, tmp_path: Path) -> None:
    frame = spark.range(5).selectExpr(
        "id AS sku", "'Tea' AS title", "timestamp '2025-01-06 10:00:00' AS seen", "array('a') AS tags"
    )
    frame.coalesce(1).write.format("avro").save(str(tmp_path / "p"))
    batch = read(spark, tmp_path, "products", path="p/*.avro", format="avro", columns={"product_id": "sku"})
    found = batch.good.select("product_id", "source_position", "extra").orderBy("source_position").collect()
    assert [(row["product_id"], row["source_position"]) for row in found] == [(str(k), str(k + 1)) for k in range(5)]
    assert found[0]["extra"] == {"title": "Tea", "seen": "2025-01-06T10:00:00.000000Z", "tags": '["a"]'}
    (file,) = (tmp_path / "p").glob("*.avro")
    (tmp_path / "p" / "short.avro").write_bytes(file.read_bytes()[:-20])
    with pytest.raises(DataError, match=r"short\.avro cannot be read"):
        read(spark, tmp_path, "products", path="p/short.avro", format="avro", columns={"product_id": "sku"})


@pytest.mark.parametrize("vectors", ["true", "false"])
def test_a_delta_table_at_any_place(spark: SparkSession, tmp_path: Path, vectors: str) -> None:
    frame = spark.range(3).selectExpr("id AS product_id", "'a b=é' AS category")
    writer = frame.coalesce(1).write.format("delta").partitionBy("category")
    writer.option("delta.enableDeletionVectors", vectors).save(str(tmp_path / "x y" / "p"))
    batch = read(spark, tmp_path / "x y", "products", path="p", format="delta")
    assert rows(batch.good, "product_id", "category") == [(str(number), "a b=é") for number in range(3)]
    assert len({row["source_position"] for row in batch.good.collect()}) == 3


def test_a_delta_table(spark: SparkSession, tmp_path: Path) -> None:
    place = str(tmp_path / "p")
    spark.range(4).selectExpr("id AS product_id").coalesce(1).write.format("delta").option(
        "delta.enableDeletionVectors", "true"
    ).save(place)
    spark.sql(f"DELETE FROM delta.`{place}` WHERE product_id = 1")
    first = read(spark, tmp_path, "products", path="p", format="delta")
    assert [row[0] for row in rows(first.good, "product_id")] == ["0", "2", "3"]
    known = tuple(row["source"] for row in first.good.select("source").distinct().collect())
    spark.range(9, 10).selectExpr("id AS product_id").coalesce(1).write.format("delta").mode("append").save(place)
    second = read(spark, tmp_path, "products", known=known, path="p", format="delta")
    assert rows(second.good, "product_id", "source_position") == [("9", "1")]
    with pytest.raises(DataError, match="no Delta table with rows is at"):
        read(spark, tmp_path, "products", path="gone", format="delta")


def test_compressed_files(spark: SparkSession, tmp_path: Path) -> None:
    for ending, codec in (("gz", "gzip"), ("zst", "zstd"), ("bz2", "bz2")):
        with pa.CompressedOutputStream(str(tmp_path / f"p.jsonl.{ending}"), codec) as file:
            file.write(b'{"product_id": "%b"}\n' % ending.encode() * 2)
        with pa.CompressedOutputStream(str(tmp_path / f"p.csv.{ending}"), codec) as file:
            file.write(b"product_id\n%b\n" % ending.encode())
    lines = read(spark, tmp_path, "products", path="p.jsonl.*", format="jsonl")
    assert rows(lines.good, "product_id", "source_position") == [
        (ending, number) for ending in ("bz2", "gz", "zst") for number in ("1", "2")
    ]
    flat = read(spark, tmp_path, "products", path="p.csv.*", format="csv")
    assert rows(flat.good, "product_id", "source_position") == [(ending, "1") for ending in ("bz2", "gz", "zst")]


def test_positions_do_not_depend_on_how_a_file_is_split(spark: SparkSession, tmp_path: Path) -> None:
    land(tmp_path / "p.jsonl", "".join(f'{{"product_id": "p{k:04}"}}\n' for k in range(500)))
    land(tmp_path / "q.jsonl", '{"product_id": "q"}\n')
    wanted = [(f"p{k:04}", str(k + 1)) for k in range(500)]
    default = spark.conf.get("spark.sql.files.maxPartitionBytes")
    spark.conf.set("spark.sql.files.maxPartitionBytes", "1000")
    try:
        batch = read(spark, tmp_path, "products", path="*.jsonl", format="jsonl")
        assert batch.held.rdd.getNumPartitions() > 5
        assert rows(batch.good, "product_id", "source_position") == [*wanted, ("q", "1")]
    finally:
        spark.conf.set("spark.sql.files.maxPartitionBytes", default)
        batch.held.unpersist()


def test_files_that_are_known_are_left_out(spark: SparkSession, tmp_path: Path) -> None:
    land(tmp_path / "1.csv", "user_id\nu1\n")
    land(tmp_path / "2.csv", "user_id\nu2\n")
    land(tmp_path / "_3.csv", "user_id\nu3\n")
    batch = read(spark, tmp_path, "users", known=("1.csv",), path="*.csv", format="csv")
    assert rows(batch.good, "user_id") == [("u2",)]
    args = {"landing": files.qualified(spark, str(tmp_path)), "loaded_at": LOADED, "quote": 9}
    assert read_feed(spark, "users", Feed(path="*.csv", format="csv"), known={"1.csv", "2.csv"}, **args) is None


@pytest.mark.parametrize(
    ("file", "content", "mapping", "message", "fix"),
    [
        ("a.csv", "user_id\nu\n", {"path": "b*.csv"}, "feed users: no file matches", "Land its files there."),
        ("a.csv", "", {}, "feed users: file a.csv is empty", "header"),
        ("a.csv", "user_id\n".encode("utf-16"), {}, "file a.csv is not written in UTF-8", "Convert"),
        ("a.csv", "u\n", {"path": "a{.csv"}, "feed users: path 'a{.csv'", "brackets"),
        ("a.csv", "user_id\n", {}, "feed users: 1 files, 0 records", "Land users with rows"),
        ("a.csv", "user_id,sex,sex\n", {}, "column 'sex' is there twice", "Rename"),
        ("a.csv", "uid,sex\nu,f\n", {}, "has no column 'user_id', mapped to user_id", "Did you mean uid?"),
        ("a.csv", "user_id,sex\nu,f\n", {"columns": {"gender": "sexx"}}, "no column 'sexx'", "Did you mean sex?"),
        ("a.jsonl", '{"userid": 1}\n', {"format": "jsonl"}, "a.jsonl has no key 'user_id'", "Did you mean userid?"),
        ("a.jsonl", "", {"format": "jsonl"}, "feed users: 1 files, 0 records", "Land users with rows"),
        ("a.jsonl.gz", b"\x1f\x8bbroken", {"format": "jsonl"}, "feed users: a.jsonl.gz cannot be read", "again"),
        ("a.parquet", b"PAR1 broken", {"format": "parquet"}, "feed users: a.parquet cannot be read", "again"),
    ],
)
def test_mistakes_are_told(
    spark: SparkSession,
    tmp_path: Path,
    file: str,
    content: str | bytes,
    mapping: dict[str, Any],
    message: str,
    fix: str,
) -> None:
    (tmp_path / file).write_bytes(content.encode() if isinstance(content, str) else content)
    with pytest.raises(DataError) as caught:
        read(spark, tmp_path, "users", **{"path": "a.*", "format": "csv", **mapping})
    assert message in caught.value.message
    assert fix in caught.value.fix
