"""Whatever stands in a file: what was written is read, to the letter, or is in quarantine; nothing is lost."""

from __future__ import annotations

import csv
import io
import json
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from pyspark.sql import SparkSession

from offerlake import files
from offerlake.clean.products import clean_products
from offerlake.clean.rules import Rules
from offerlake.config import Settings
from offerlake.ingest.feed import Batch, read_feed
from offerlake.ingest.mapping import Feed

SAID = ("product_id", "name", "description")
TEXTS = st.one_of(
    st.sampled_from(
        ['"', '""', 'a"b', "a\nb", "a,b", ";", "\\", '\\"', "'", "null", "\x00", "\u2028", "\ufeff", "\N{PILE OF POO}"]
    ),
    st.text(st.characters(codec="utf-8"), min_size=1, max_size=12),
)  # fmt: skip
ROWS = st.lists(st.tuples(TEXTS, TEXTS, TEXTS), min_size=80, max_size=80)
by_spark = settings(
    max_examples=2,
    deadline=None,
    phases=[Phase.explicit, Phase.generate],  # an example is a Spark job: a shorter one is not worth hundreds of them
    suppress_health_check=list(HealthCheck),
)


def read(spark: SparkSession, folder: Path, feed: Feed) -> Batch:
    batch = read_feed(
        spark, "products", feed, landing=files.qualified(spark, str(folder)), known=(),
        loaded_at=datetime(2025, 9, 1, tzinfo=UTC), quote=30,
    )  # fmt: skip
    assert batch is not None
    return batch


def by_position(batch: Batch) -> dict[int, tuple[str | None, ...]]:
    return {int(row["source_position"]): tuple(row[name] for name in SAID) for row in batch.good.collect()}


@by_spark
@given(rows=ROWS)
def test_json_lines(spark: SparkSession, tmp_path_factory: pytest.TempPathFactory, rows: list[tuple[str, ...]]) -> None:
    folder = tmp_path_factory.mktemp("json")
    lines = [
        json.dumps(dict(zip(SAID, row, strict=True)), ensure_ascii=number % 2 == 0) for number, row in enumerate(rows)
    ]
    (folder / "p.jsonl").write_bytes("\n".join(lines).encode())
    batch = read(spark, folder, Feed(path="p.jsonl", format="jsonl"))
    assert (batch.rows, batch.refused) == (len(rows), 0)
    assert by_position(batch) == dict(enumerate(rows, start=1))
    batch.held.unpersist()


@by_spark
@given(rows=ROWS)
def test_csv(spark: SparkSession, tmp_path_factory: pytest.TempPathFactory, rows: list[tuple[str, ...]]) -> None:
    folder = tmp_path_factory.mktemp("csv")
    text = io.StringIO()
    writer = csv.writer(text, quoting=csv.QUOTE_ALL, lineterminator="\n")
    writer.writerows([SAID, *rows])
    (folder / "p.csv").write_bytes(text.getvalue().encode())
    batch = read(spark, folder, Feed(path="p.csv", format="csv", multi_line=True))
    assert (batch.rows, batch.refused) == (len(rows), 0)
    # CSV says nothing of how a line break within quotes is written.
    breaks = [tuple(cell.replace("\r\n", "\n") for cell in row) for row in rows]
    assert by_position(batch) == dict(enumerate(breaks, start=1))
    lines = read(spark, folder, Feed(path="p.csv", format="csv"))
    assert lines.rows == lines.refused + lines.good.count()
    batch.held.unpersist()
    lines.held.unpersist()


@by_spark
@given(lines=st.lists(st.binary(max_size=40).filter(lambda line: b"\n" not in line and b"\r" not in line), min_size=80))
def test_bytes(spark: SparkSession, tmp_path_factory: pytest.TempPathFactory, lines: list[bytes]) -> None:
    folder = tmp_path_factory.mktemp("bytes")
    (folder / "p.jsonl").write_bytes(b"\n".join([b'{"product_id": "p"}', *lines]))
    (folder / "p.csv").write_bytes(b"\n".join([b"product_id,name", b"p,", *lines]))
    for form, name in (("jsonl", "json"), ("csv", "csv")):
        batch = read(spark, folder, Feed(path=f"p.{form}", format=form))
        refused = batch.quarantined.collect()
        assert batch.rows == len(refused) + batch.good.count() > 0
        if form == "jsonl":
            assert batch.rows == 1 + sum(bool(line.decode(errors="replace").strip(" ")) for line in lines)
        assert {row["reasons"][0].partition(":")[0] for row in refused} <= {"encoding", f"malformed_{name}"}
        batch.held.unpersist()


def test_ten_megabytes_in_one_field(spark: SparkSession, settings: Settings, tmp_path: Path) -> None:
    big = "x" * 10_000_000
    (tmp_path / "p.jsonl").write_text(
        f'{{"product_id": "good"}}\n{{"product_id": "{big}"}}\n{{"product_id": "p", "price": "{big}"}}\n{big}\n',
        encoding="utf-8",
    )
    feed = Feed(path="p.jsonl", format="jsonl")
    batch = read(spark, tmp_path, feed)
    cleaned = clean_products(batch.good, rules=Rules(settings.clean, feed, 30))
    told = {row["source_position"]: row["reasons"] for row in batch.quarantined.union(cleaned.quarantined).collect()}
    cut = "x" * 30
    assert told == {
        "2": [f"too_long:product_id='{cut}'"],
        "3": [f"unparsable:price='{cut}'"],
        "4": [f"malformed_json:{cut}"],
    }
    assert [row["product_id"] for row in cleaned.good.collect()] == ["good"]
    batch.held.unpersist()
