"""The drop for the marketing system."""

from __future__ import annotations

import csv
import hashlib
import json
from pathlib import Path
from typing import Any

import pytest
from pyspark.sql import DataFrame, SparkSession

from decide.made import DAY, frame
from offerlake.decide.publish import COLUMNS, published_runs, write_drop
from offerlake.errors import DataError
from offerlake.windows import midnight


def row(user_id: str, offer_id: str | None, **fields: Any) -> dict[str, Any]:
    """A row of `user_offers`."""
    return {
        "run_id": "r1", "assignment_id": f"a-{user_id}", "as_of": DAY, "user_id": user_id, "rank": 1,
        "offer_id": offer_id, "product_ids": ["p1", "p2"], "channel": "email", "valid_from": midnight(DAY),
        "valid_to": midnight(DAY), "kind": "gift" if offer_id else "none", "expected_value": -0.5,
        "expected_cost": 0.1, "propensity": 0.9, "arm": "model", "reasons": ["value=-0.5000"], "policy_version": "x",
        **fields,
    }  # fmt: skip


def assignment(spark: SparkSession) -> DataFrame:
    rows = [row(f"u{n}", "o1" if n % 2 else None) for n in range(20)]
    return frame(
        spark, "user_offers", [*rows, row("=HYPERLINK(1)", '@"a",b', channel="x\n=y", product_ids=["-1", "2"])]
    )


def drop(spark: SparkSession, root: Path, form: Any, rows: DataFrame | None = None) -> dict[str, Any]:
    return write_drop(
        assignment(spark) if rows is None else rows, root.as_uri(), as_of=DAY, run_id="r1", form=form, rows_per_file=4
    )


def test_lines_of_json_with_a_manifest_that_holds(spark: SparkSession, tmp_path: Path) -> None:
    manifest = drop(spark, tmp_path, "jsonl")
    folder = tmp_path / "2025-09-03" / "r1"
    assert json.loads((folder / "manifest.json").read_text()) == manifest
    assert (manifest["rows"], manifest["users"], manifest["format"]) == (11, 21, "jsonl")
    assert sum(part["rows"] for part in manifest["files"]) == 11
    assert len(manifest["files"]) > 1
    for part in manifest["files"]:
        content = (folder / part["name"]).read_bytes()
        assert part["sha256"] == hashlib.sha256(content).hexdigest()
        assert (part["bytes"], part["rows"]) == (len(content), content.count(b"\n"))
    lines = [
        json.loads(line) for part in manifest["files"] for line in (folder / part["name"]).read_text().splitlines()
    ]
    assert {line["user_id"] for line in lines} == {*(f"u{n}" for n in range(1, 20, 2)), "=HYPERLINK(1)"}
    assert all(list(line) == list(COLUMNS) for line in lines)
    assert lines[0]["product_ids"] == ["p1", "p2"] or lines[0]["user_id"] == "=HYPERLINK(1)"
    assert published_runs(spark, tmp_path.as_uri(), as_of=DAY) == {"r1"}


def test_csv_holds_no_formula(spark: SparkSession, tmp_path: Path) -> None:
    manifest = drop(spark, tmp_path, "csv")
    folder = tmp_path / "2025-09-03" / "r1"
    cells = []
    for part in manifest["files"]:
        with (folder / part["name"]).open(newline="") as stream:
            found = list(csv.DictReader(stream))
        assert len(found) == part["rows"]
        cells += found
    odd = next(line for line in cells if line["user_id"].endswith("HYPERLINK(1)"))
    assert (odd["user_id"], odd["offer_id"], odd["channel"], odd["product_ids"]) == (
        "'=HYPERLINK(1)", "'@\"a\",b", "x =y", "'-1|2",
    )  # fmt: skip
    assert not [value for line in cells for value in line.values() if value[:1] in tuple("=+-@\t\r\n") and value]
    assert odd["valid_from"] == "2025-09-03T00:00:00Z"


def test_the_same_again_changes_nothing_and_another_content_is_refused(spark: SparkSession, tmp_path: Path) -> None:
    first = drop(spark, tmp_path, "jsonl")
    folder = tmp_path / "2025-09-03" / "r1"
    before = {path.name: path.stat().st_mtime_ns for path in folder.iterdir()}
    assert drop(spark, tmp_path, "jsonl", assignment(spark).repartition(3)) == first
    assert {path.name: path.stat().st_mtime_ns for path in folder.iterdir()} == before
    with pytest.raises(DataError, match="another assignment of run r1"):
        drop(spark, tmp_path, "jsonl", frame(spark, "user_offers", [row("u1", "o2")]))
    assert {path.name: path.stat().st_mtime_ns for path in folder.iterdir()} == before
    assert [path.name for path in folder.parent.iterdir() if path.name != ".r1.writing.crc"] == ["r1"]


def test_nobody_to_contact_is_a_drop_too_but_no_rows_are_not(spark: SparkSession, tmp_path: Path) -> None:
    manifest = drop(spark, tmp_path, "csv", frame(spark, "user_offers", [row("u1", None)]))
    assert (manifest["rows"], manifest["users"], manifest["files"]) == (0, 1, [])
    with pytest.raises(DataError, match="run r1 has no rows"):
        drop(spark, tmp_path / "other", "csv", frame(spark, "user_offers", []))
    assert not (tmp_path / "other").exists()
