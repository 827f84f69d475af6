"""The job: what it writes, when it stops a run, and what cleaning keeps out for it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import yaml
from pyspark.sql import SparkSession
from typer.testing import CliRunner

from clean.made import raw
from conftest import TEST_SETS
from offerlake.cli import app
from offerlake.config import Settings, load_settings
from offerlake.errors import GateError
from offerlake.job import execute
from offerlake.pipeline import load_jobs
from offerlake.schemas import table
from offerlake.tables import Lake
from quality.made import AS_OF, ago, silver

CHEAP = {"column": "price", "range": [0, 100]}


def expecting(folder: Path, content: Mapping[str, Sequence[Mapping[str, Any]]]) -> Settings:
    """Settings of a lake in the folder, with expectations of its own."""
    (folder / "mine.yaml").write_text(yaml.safe_dump(dict(content)), encoding="utf-8")
    sets = [f"run.lake={folder}/lake", f"quality.expectations={folder}/mine.yaml"]
    return load_settings([], [*TEST_SETS, *sets], env={})


def found(lake: Lake) -> list[tuple[Any, ...]]:
    rows = lake.read("expectations").orderBy("attempt", "table_name", "expectation").collect()
    names = ("attempt", "table_name", "expectation", "severity", "rows", "failed_rows", "value", "passed", "example")
    return [tuple(row[name] for name in names) for row in rows]


def test_all_is_noted_before_the_run_is_stopped(spark: SparkSession, tmp_path: Path) -> None:
    settings = expecting(
        tmp_path,
        {
            "clicks": [CHEAP, {**CHEAP, "severity": "stop", "name": "cheap", "share": 0.9}, {"freshness_days": 2}],
            "offer_products": [{"unique": ["coupon_id"], "severity": "stop"}],  # the test shop has no such feed
        },
    )
    lake = Lake(spark, settings.run.lake)
    prices = [{"event_id": f"e{n}", "price": Decimal(price)} for n, price in enumerate((5, 7, 9, 500))]
    lake.write("clicks", silver(spark, "clicks", prices))
    job = load_jobs()["check_quality"]

    with pytest.raises(GateError) as caught:
        execute(job, spark=spark, settings=settings, as_of=AS_OF, run_id="r1")

    assert caught.value.exit_code == 3
    assert caught.value.message == (
        'expectations not met: clicks.cheap: 1 of 4 rows break column: "price", share: 0.9, range: [0.0, 100.0], '
        "such as '500.0000'; at least 0.9 of them have to keep it"
    )
    first = [
        (1, "clicks", "cheap", "stop", 4, 1, 0.75, False, "500.0000"),
        (1, "clicks", "freshness_days", "warn", 4, None, 0.5, True, None),
        (1, "clicks", "price_range", "warn", 4, 1, 0.75, False, "500.0000"),
    ]
    assert found(lake) == first

    lake.write("clicks", silver(spark, "clicks", prices[:3]))
    execute(job, spark=spark, settings=settings, as_of=AS_OF, run_id="r1")
    assert found(lake)[:3] == first
    assert [(row[0], row[2], row[7]) for row in found(lake)[3:]] == [
        (2, "cheap", True), (2, "freshness_days", True), (2, "price_range", True),
    ]  # fmt: skip
    ended = {row["event"]: row for row in lake.read("runs").where("event != 'start'").collect()}
    assert ended["fail"]["error"].startswith("GateError: expectations not met: clicks.cheap")
    assert ended["finish"]["rows_out"] == 3


def test_a_stop_is_exit_code_3(spark: SparkSession, tmp_path: Path) -> None:
    settings = expecting(tmp_path, {"clicks": [{"freshness_days": 2, "severity": "stop"}]})
    Lake(spark, settings.run.lake).write("clicks", silver(spark, "clicks", [{"at": ago(6)}]))
    sets = [word for text in TEST_SETS for word in ("--set", text)]
    command = ["run", "--as-of", str(AS_OF), "--only", "check_quality", "--lake", settings.run.lake, "--json"]
    chosen = ["--set", f"quality.expectations={settings.quality.expectations}"]
    done = CliRunner().invoke(app, [*command, *chosen, *sets])
    assert done.exit_code == 3, done.output
    error = json.loads(done.stdout)["error"]
    assert error["kind"] == "GateError"
    assert error["message"] == "expectations not met: clicks.freshness_days: got 6, at most 2 is right"


def test_what_cleaning_keeps_out_is_counted_and_explained(spark: SparkSession, tmp_path: Path) -> None:
    """Of five records one is a duplicate and two are kept out; the later one of e2's key, which is right, is not."""
    settings = expecting(
        tmp_path,
        {
            "clicks": [
                {**CHEAP, "severity": "quarantine"},
                {"column": "channel", "not_null": True, "severity": "quarantine", "name": "channel"},
                {"column": "channel", "set": ["web"]},
            ]
        },
    )
    lake = Lake(spark, settings.run.lake)
    at = datetime(2025, 9, 2, 12, tzinfo=UTC).isoformat()
    click = {"user_id": "u1", "event_time": at, "arrived_at": at, "event_type": "view", "channel": "web"}
    changes = [
        {"event_id": "e1", "price": "5"},
        {"event_id": "e1", "price": "5"},
        {"event_id": "e2", "price": "123456.5"},
        {"event_id": "e2", "price": "6"},
        {"event_id": "e3", "price": "101", "channel": None},
        {"event_id": "e4", "price": "soon"},
        {"event_id": "e5", "price": "999", "event_time": "2024-01-01T00:00:00Z", "arrived_at": "2024-01-01T00:00:00Z"},
    ]
    lake.write("raw_clicks", raw(spark, "clicks", [{**click, **change} for change in changes]))
    for name in ("products", "users"):
        lake.create(name)
    jobs = load_jobs()

    for name in ("clean_clicks", "check_quality"):
        execute(jobs[name], spark=spark, settings=settings, as_of=AS_OF, run_id="r1")

    assert sorted((row["event_id"], row["price"]) for row in lake.read("clicks").collect()) == [("e1", 5), ("e2", 6)]
    refused = lake.read("quarantine").orderBy("source_position").collect()
    assert [row["reasons"] for row in refused] == [
        ["expectation:price_range='123456.5000'"],
        ["expectation:price_range='101.0000'", "expectation:channel='null'"],
        ["unparsable:price='soon'"],
        ["expectation:price_range='999.0000'"],
    ]
    assert json.loads(refused[0]["record"])["event_id"] == "e2"
    ended = lake.read("runs").where("event = 'finish' AND job = 'clean_clicks'").collect()[0]
    counts = [ended[name] for name in ("rows_in", "rows_out", "duplicates", "quarantined")]
    assert counts == [7, 2, 1, 4]
    numbers = {row["name"]: row["value"] for row in lake.read("metrics").collect()}
    assert numbers["clean.clicks.quarantined.expectation"] == 3
    assert found(lake) == [
        (1, "clicks", "channel", "quarantine", 3, 1, pytest.approx(2 / 3), False, None),
        (1, "clicks", "channel_set", "warn", 2, 0, 1.0, True, None),
        (1, "clicks", "price_range", "quarantine", 4, 2, 0.5, False, None),  # without what happened years ago
    ]
    assert table("expectations").check(lake.read("expectations"))
