"""`offerlake stream` as a process of its own: files and messages as they come, until it is told to stop."""

from __future__ import annotations

import gzip
import json
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

import pytest
import yaml
from pyspark.sql import SparkSession

from broker import Broker
from conftest import TEST_SETS
from offerlake.config import load_settings
from offerlake.job import execute
from offerlake.pipeline import load_jobs
from offerlake.schemas.bronze import FEEDS
from offerlake.tables import Lake

WAIT = 120  # seconds for what takes a few


@pytest.fixture
def sets(broker: Broker, tmp_path: Path) -> list[str]:
    """Settings of a shop with users from a topic, orders from files of two kinds, and a lake to come."""
    (tmp_path / "orders").mkdir()
    offers = "offer_id,kind,scope,valid_from,valid_to\no,gift,all,2024-01-01,2024-06-01\n"
    (tmp_path / "offers.csv").write_text(offers, encoding="utf-8")
    parts = [{"path": "orders/*.csv", "format": "csv"}, {"path": "orders/*.jsonl*", "format": "jsonl"}]
    feeds: dict[str, dict[str, Any]] = {
        "users": {"topic": "streamed-users"},
        "orders": {"arrival_lag_minutes": 5, "parts": parts},
        "offers": {"path": "offers.csv", "format": "csv"},
    }
    none = [name for name in FEEDS if name not in feeds]
    (tmp_path / "shop.yaml").write_text(yaml.safe_dump({"source": "shop", "feeds": feeds, "none": none}))
    return [
        *TEST_SETS,
        "ingest.trigger_seconds=0.2",
        f"ingest.kafka.servers='{broker.servers}'",
        "ingest.kafka.options={default.api.timeout.ms: 2000, request.timeout.ms: 1500}",
        f"run.lake={tmp_path / 'lake'}",
        f"run.landing={tmp_path}",
        f"run.source={tmp_path / 'shop.yaml'}",
    ]


def land(folder: Path, name: str, *orders: str) -> None:
    order = {"line_id": 1, "user_id": "u", "product_id": "p", "order_time": "2025-01-06", "quantity": 1}
    records = [{"order_id": each, **order} for each in orders]
    if name.endswith(".csv"):
        lines = [",".join(records[0]), *(",".join(map(str, record.values())) for record in records)]
    else:
        lines = [json.dumps(record) for record in records]
    (folder / ".part").write_text("\n".join(lines), encoding="utf-8")
    (folder / ".part").rename(folder / "orders" / name)


def started(sets: list[str]) -> subprocess.Popen[str]:
    options = [word for each in sets for word in ("--set", each)]
    command = [sys.executable, "-m", "offerlake", "stream", "--json", *options]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def until(true: Callable[[], bool], process: subprocess.Popen[str]) -> None:
    end = time.monotonic() + WAIT
    while not true():
        assert process.poll() is None, process.communicate()
        if time.monotonic() > end:
            process.kill()
            raise AssertionError(process.communicate())
        time.sleep(0.3)


@pytest.mark.processes
def test_files_and_messages_as_they_come(spark: SparkSession, broker: Broker, sets: list[str], tmp_path: Path) -> None:
    lake = Lake(spark, str(tmp_path / "lake"))

    def ids(table: str) -> list[str]:
        if not lake.exists(table):
            return []
        return sorted(row[0] for row in lake.read(table).select(table[4:-1] + "_id").collect())

    def send(*values: str) -> None:
        broker.send(spark, "streamed-users", [(0, None, value.encode()) for value in values])

    land(tmp_path, "1.csv", "o1")
    land(tmp_path, "1.jsonl", "o2")
    send('{"user_id": "u1"}')
    process = started(sets)
    try:
        until(lambda: ids("raw_orders") == ["o1", "o2"] and ids("raw_users") == ["u1"], process)
        land(tmp_path, "2.jsonl", "o3")
        send('{"user_id": "u2"}', "poison")
        until(lambda: ids("raw_orders") == ["o1", "o2", "o3"] and ids("raw_users") == ["u1", "u2"], process)
        broker.stop()
        time.sleep(5)  # longer than the client waits by itself
        broker.start()
        send('{"user_id": "u3"}')
        until(lambda: ids("raw_users") == ["u1", "u2", "u3"], process)
    finally:
        process.send_signal(signal.SIGTERM)
        out, told = process.communicate(timeout=WAIT)
    assert process.returncode == 0, told
    answer = json.loads(out)
    assert (answer["rows_in"], answer["rows_out"], answer["quarantined"]) == (8, 7, 1)
    # Messages sent together may be read apart.
    counts = [tuple(map(int, found)) for found in re.findall(r"users: (\d+) messages, (\d+) refused", told)]
    assert tuple(map(sum, zip(*counts, strict=True))) == (4, 1), told
    (event,) = lake.read("runs").where("job = 'stream' AND event = 'finish'").collect()
    assert (event["rows_in"], event["rows_out"], event["quarantined"]) == (8, 7, 1)

    # A scheduled run on the same lake finds all done, and takes what comes while nothing listens.
    land(tmp_path, "3.csv", "o4")
    settings = load_settings([], sets, env={})
    context = execute(load_jobs()["ingest"], spark=spark, settings=settings, as_of=date(2025, 1, 31), run_id="r")
    assert context.counts == {"rows_in": 1, "rows_out": 1, "quarantined": 0}

    # A file that cannot be read stops everything, and is named.
    (tmp_path / "orders/4.jsonl.gz").write_bytes(gzip.compress(b'{"order_id": "o5"}' * 1000)[:-20])
    process = started(sets)
    out, told = process.communicate(timeout=WAIT)
    assert process.returncode == 1, told
    assert json.loads(out)["error"]["message"].startswith("feed orders: 4.jsonl.gz cannot be read")
    assert ids("raw_orders") == ["o1", "o2", "o3", "o4"]
