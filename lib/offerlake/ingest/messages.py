"""Messages of a Kafka topic as the rows of a feed's bronze table and of the quarantine.

A message's `source` is `kafka:<topic>/<partition>`, its `source_position` the offset. One that is no record of the feed
goes to quarantine with the reason: `malformed_json`, `encoding`, `malformed_avro`, `unknown_schema`, or `tombstone`
where it has a key and no content, by which a topic says that the key is gone.
"""

from __future__ import annotations

import json
from collections.abc import Collection
from datetime import datetime

from pyspark import StorageLevel
from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F
from pyspark.sql import types as T
from pyspark.sql.avro.functions import from_avro

from offerlake.ingest.feed import Batch, batch_of
from offerlake.ingest.landing import File
from offerlake.ingest.mapping import NO_ID, Feed
from offerlake.ingest.readers import check_columns
from offerlake.ingest.records import (
    Records,
    extra_of,
    json_records,
    kinds_seen,
    leaves,
    mapped,
    no_kinds,
    nothing,
    quoted,
    refusal,
    text_of,
)

_MAGIC = "00"  # the first byte of a message that names its schema; four bytes of the schema's id follow
_PREFIX = 5


def source_of(topic: str) -> Column:
    """What `source` is for a message of Kafka's column `partition`."""
    return F.concat(F.lit(f"kafka:{topic}/"), F.col("partition").cast("string"))


def read_messages(messages: DataFrame, name: str, feed: Feed, *, quote: int, seen: Collection[str] = ()) -> Records:
    """Reads messages as records.

    Args:
        messages: Kafka's columns `key`, `value`, `partition` and `offset`.
        name: The feed.
        feed: Its mapping.
        quote: Characters of a refused record that its reason quotes.
        seen: The source's columns that are known.

    Raises:
        DataError: A schema of the mapping lacks a column that the mapping names.
    """
    placed = messages.select(
        "value",
        F.coalesce(F.col("key").cast("string"), F.lit("")).alias("_key"),
        F.col("value").isNull().alias("_gone"),
        source_of(feed.topic).alias("source"),
        F.col("offset").cast("string").alias("source_position"),
        F.lit(False).alias("_blank"),
    )
    if feed.format == "avro":
        records = _avro(placed, name, feed, quote=quote)
    else:
        texts = placed.withColumn("value", F.btrim(F.col("value").cast("string"), F.lit(" \t\r\n")))
        records = Records(json_records(texts, name, feed, quote=quote, seen=seen), {}, {})
    gone, key = F.col("_gone"), F.make_valid_utf8("_key")
    frame = records.frame.withColumns(
        {
            "_reasons": F.when(gone, refusal(F.lit("tombstone"), key, quote)).otherwise(F.col("_reasons")),
            "_record": F.when(gone, key).otherwise(F.col("_record")),
        }
    )
    return Records(frame.drop("_gone", "_key"), {}, records.kinds)


def _avro(placed: DataFrame, name: str, feed: Feed, *, quote: int) -> Records:
    value = F.col("value")
    if NO_ID in feed.avsc:
        number, body = F.lit(NO_ID), value
    else:
        marked = (F.hex(F.substring(value, 1, 1)) == _MAGIC) & (F.length(value) >= _PREFIX)
        number = F.when(marked, F.conv(F.hex(F.substring(value, 2, 4)), 16, 10).cast("bigint"))
        body = F.substring(value, _PREFIX + 1, 2**31 - 1)
    parts = placed.withColumns({"_id": number, "_body": body})
    for count, (known, schema) in enumerate(sorted(feed.avsc.items())):
        own = F.when(F.col("_id") == known, F.col("_body"))
        parts = parts.withColumn(f"_s{count}", from_avro(own, schema, {"mode": "PERMISSIVE"}))
    theirs: dict[str, list[Column]] = {}
    top: dict[str, None] = {}
    kinds: dict[tuple[str, str], str] = {}
    read = F.lit(False)
    for count, (known, schema) in enumerate(sorted(feed.avsc.items())):
        struct = parts.schema[f"_s{count}"].dataType
        assert isinstance(struct, T.StructType)
        found = dict(leaves(struct))
        where = "the schema in avsc" if known == NO_ID else f"the schema {known} in avsc"
        check_columns(name, feed, File("", where, ""), list(found))
        for path, (called, leaf) in found.items():
            theirs.setdefault(path, []).append(text_of(F.col(f"_s{count}.{called}"), leaf))
        for each in struct.fields:
            top[each.name] = None
            kinds.setdefault((each.name, each.dataType.simpleString()), f"kafka:{feed.topic}")
        read = read | ((F.col("_id") == known) & _decoded(f"_s{count}", struct, schema))
    columns = {path: F.coalesce(*texts) for path, texts in theirs.items()}
    shown, read = F.base64(value), F.coalesce(read, F.lit(False))
    strange = ~F.col("_id").isin(list(feed.avsc))
    reason = F.when(strange, F.array(F.concat(F.lit("unknown_schema:"), F.col("_id").cast("string")))).otherwise(
        refusal(F.lit("malformed_avro"), shown, quote)
    )
    frame = parts.select(
        *("_key", "_gone", "source", "source_position", "_blank"),
        F.when(~read, reason).otherwise(nothing()).alias("_reasons"),
        F.when(~read, shown).alias("_record"),
        no_kinds(),
        *mapped(name, feed, columns, read=read),
        extra_of(name, feed, {each: columns[each] for each in top}),
    )
    return Records(frame, {}, kinds)


def _decoded(column: str, struct: T.StructType, schema: str) -> Column:
    """Whether a record was read: of one that cannot be, Spark gives all fields null.

    A record whose fields are all null is written as the place of null in each field's union, and as nothing else.
    """
    something = F.lit(False)
    for each in struct.fields:
        something = something | F.col(f"{column}.{quoted(each.name)}").isNotNull()
    empty = b""
    for each in json.loads(schema)["fields"]:
        union = each["type"]
        if isinstance(union, list) and "null" in union:
            empty += bytes([2 * union.index("null")])
        elif union != "null":
            return something
    return something | (F.hex("_body") == empty.hex().upper())


def read_batch(
    messages: DataFrame, name: str, feed: Feed, *, loaded_at: datetime, quote: int, seen: Collection[str]
) -> Batch:
    """The messages of one micro-batch, see `read_messages`; its `held` is to be released when it has been written.

    Args:
        messages: As in `read_messages`.
        name: The feed.
        feed: Its mapping.
        loaded_at: The time of the load.
        quote: Characters of a refused record that its reason quotes.
        seen: The source's columns that are known.
    """
    records = read_messages(messages, name, feed, quote=quote, seen=seen)
    held = records.frame.persist(StorageLevel.MEMORY_AND_DISK)
    record = ~F.col("_other")
    counts = held.agg(
        F.count_if(record).alias("rows"),
        F.count_if(F.size("_reasons") > 0).alias("refused"),
        F.count_if("_other").alias("others"),
    ).first()
    assert counts is not None
    kinds = {**records.kinds, **kinds_seen(held, F.col("source"), {})}
    return batch_of(name, feed, held.where(record), held, counts.asDict(), kinds=kinds, loaded_at=loaded_at)
