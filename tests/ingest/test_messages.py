"""Messages as records: those that can be read by content, the poison ones by reason and offset."""

from __future__ import annotations

import json
import struct
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import pytest
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F
from pyspark.sql.avro.functions import to_avro

from offerlake.errors import DataError
from offerlake.ingest.feed import Batch
from offerlake.ingest.mapping import Feed
from offerlake.ingest.messages import read_batch

LOADED = datetime(2025, 9, 3, 12, tzinfo=UTC)


def read(spark: SparkSession, values: Sequence[bytes | None], name: str = "products", **mapping: Any) -> Batch:
    """The values as messages of partition 1 from offset 10 on, each with the key `k`."""
    rows = [("k", value, 1, 10 + number) for number, value in enumerate(values)]
    messages = spark.createDataFrame(rows, "key string, value binary, partition int, offset bigint")
    feed = Feed.model_validate({"topic": "t", **mapping})
    return read_batch(messages, name, feed, loaded_at=LOADED, quote=12, seen=())


def good(batch: Batch, *columns: str) -> list[tuple[Any, ...]]:
    return [tuple(row) for row in batch.good.orderBy("source_position").select(*columns).collect()]


def refused(batch: Batch) -> dict[str, str]:
    return {row["source_position"]: row["reasons"][0] for row in batch.quarantined.collect()}


def test_json(spark: SparkSession) -> None:
    deep = b'{"id": ' + b"[" * 5000 + b"]" * 5000 + b"}"
    batch = read(
        spark,
        [
            b'{"id": "p1", "price": 2.5, "in": {"brand": "Own"}, "more": [1]}',
            b' {"id": 2,\n "price": "2.5"}\r\n',
            b'{"id": "p3"',
            b"",
            b'{"id": "\xff"}',
            None,
            b"[1]",
            deep,
            b'{"id": "p4", "in": null}',
        ],
        columns={"product_id": "id", "brand": "in.brand", "description": "_position"},
    )
    assert good(batch, "product_id", "price", "brand", "description", "source", "source_position", "extra") == [
        ("p1", "2.5", "Own", "kafka:t/1#10", "kafka:t/1", "10", {"in": '{"brand":"Own"}', "more": "[1]"}),
        ("2", "2.5", None, "kafka:t/1#11", "kafka:t/1", "11", {}),
        ("p4", None, None, "kafka:t/1#18", "kafka:t/1", "18", {}),
    ]
    assert refused(batch) == {
        "12": 'malformed_json:{"id": "p3"',
        "13": "malformed_json:",
        "14": 'encoding:{"id": "\ufffd"}',
        "15": "tombstone:k",
        "16": "malformed_json:[1]",
        "17": 'malformed_json:{"id": [[[[[',
    }
    records = {row["source_position"]: row["record"] for row in batch.quarantined.collect()}
    assert (records["12"], records["13"], records["15"]) == ('{"id": "p3"', "", "k")
    assert (batch.rows, batch.refused, batch.others) == (9, 6, 0)
    kinds = ["id string", "id number", "price number", "price string", "in object", "more array"]
    assert {" ".join(pair) for pair in batch.kinds} == {*kinds}
    assert {*batch.kinds.values()} == {"kafka:t/1"}


def test_messages_of_other_feeds_are_left_to_them(spark: SparkSession) -> None:
    values = [b'{"product_id": 1, "kind": "a"}', b'{"product_id": 2, "kind": "b"}', b'{"product_id": 3}', b"x"]
    batch = read(spark, values, only={"kind": ["a"]})
    assert good(batch, "product_id") == [("1",)]
    assert (batch.rows, batch.refused, batch.others) == (2, 1, 2)


def schema(*fields: tuple[str, Any]) -> str:
    parts = [{"name": name, "type": kind} for name, kind in fields]
    return json.dumps({"type": "record", "name": "product", "fields": parts})


def written(spark: SparkSession, avsc: str, row: DataFrame) -> bytes:
    found = row.select(to_avro(F.struct("*"), avsc)).first()
    assert found is not None
    return bytes(found[0])


OPTIONAL = schema(("product_id", ["null", "string"]), ("price", ["double", "null"]))


def test_avro(spark: SparkSession) -> None:
    whole = written(spark, OPTIONAL, spark.sql("SELECT 'p1' AS product_id, 2.5D AS price"))
    nothing = written(spark, OPTIONAL, spark.sql("SELECT string(null) AS product_id, double(null) AS price"))
    huge = b"\x02" + b"\x80\xbc\xc1\x96\x0b" + b"x"  # a text of 1.5 GB, it says
    batch = read(spark, [whole, nothing, whole[:-3], b"not avro", b"", None, huge], format="avro", avsc=OPTIONAL)
    assert good(batch, "product_id", "price", "source_position") == [("p1", "2.5", "10"), (None, None, "11")]
    reasons = refused(batch)
    assert {offset: reason.split(":")[0] for offset, reason in reasons.items()} == {
        "12": "malformed_avro", "13": "malformed_avro", "14": "malformed_avro", "15": "tombstone",
        "16": "malformed_avro",
    }  # fmt: skip
    assert reasons["13"] == "malformed_avro:bm90IGF2cm8="
    assert batch.kinds == {("product_id", "string"): "kafka:t", ("price", "double"): "kafka:t"}


def test_avro_by_the_id_before_each_message(spark: SparkSession) -> None:
    first = schema(("product_id", "string"), ("price", "double"))
    second = schema(("product_id", "string"), ("price", "string"), ("colour", ["null", "string"]))
    values = [
        b"\x00" + struct.pack(">I", 7) + written(spark, first, spark.sql("SELECT 'p1' AS product_id, 2.5D AS price")),
        b"\x00"
        + struct.pack(">I", 300)
        + written(spark, second, spark.sql("SELECT 'p2' AS product_id, 'two' AS price, 'red' AS colour")),
        b"\x00" + struct.pack(">I", 8) + b"x",
        b"\x01" + struct.pack(">I", 7) + b"x",
        b"\x00\x00",
        b"\x00" + struct.pack(">I", 7),
    ]
    batch = read(spark, values, format="avro", avsc={7: first, 300: second})
    assert good(batch, "product_id", "price", "extra") == [("p1", "2.5", {}), ("p2", "two", {"colour": "red"})]
    found = {offset: reason.partition(":") for offset, reason in refused(batch).items()}
    assert found["12"] == ("unknown_schema", ":", "8")
    assert [found[offset][0] for offset in ("13", "14", "15")] == ["malformed_avro"] * 3
    assert {("price", "double"), ("price", "string"), ("colour", "string")} < batch.kinds.keys()


def test_a_schema_that_lacks_a_column(spark: SparkSession) -> None:
    with pytest.raises(DataError, match=r"feed products: file the schema in avsc has no column 'sku'"):
        read(spark, [b"x"], format="avro", avsc=OPTIONAL, columns={"product_id": "sku"})
