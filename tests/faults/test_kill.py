"""kill -9 at random, again and again: each record is in bronze or quarantine once, as if nothing had happened."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
from contextlib import suppress
from datetime import date
from pathlib import Path
from typing import Any

import pytest
import yaml
from pyspark.sql import SparkSession

from broker import PARTITIONS, Broker
from conftest import TEST_SETS
from offerlake.config import load_settings
from offerlake.job import execute
from offerlake.pipeline import load_jobs
from offerlake.schemas.bronze import FEEDS
from offerlake.tables import Lake

KILLS = int(os.environ.get("KILLS", "2"))
SEED = int(os.environ.get("SEED", "7"))
POINTS = 10  # boundaries of writes a process passes at most
SECONDS = 6.0  # or how long it lives at most once it listens, where it is killed from outside
TOPIC = "killed-users"
LITTLE = ("ingest.max_files=1", "ingest.max_offsets=4", "ingest.trigger_seconds=0")
"""Many commits, so that there is much between which to be killed."""


class Landing:
    """What comes in: files of orders and messages of users, more of them in each round, some of each broken."""

    def __init__(self, folder: Path, broker: Broker, spark: SparkSession) -> None:
        self.folder, self._broker, self._spark = folder, broker, spark
        (folder / "orders").mkdir()
        offers = "offer_id,kind,scope,valid_from,valid_to\no,gift,all,2024-01-01,2024-06-01\n"
        (folder / "offers.csv").write_text(offers, encoding="utf-8")
        feeds: dict[str, dict[str, Any]] = {
            "users": {"topic": TOPIC, "format": "jsonl"},
            "orders": {"path": "orders/*.csv", "format": "csv", "arrival_lag_minutes": 5},
            "offers": {"path": "offers.csv", "format": "csv"},
        }
        none = [name for name in FEEDS if name not in feeds]
        (folder / "shop.yaml").write_text(yaml.safe_dump({"source": "shop", "feeds": feeds, "none": none}))
        self.files = self.messages = self.broken = 0

    def more(self) -> None:
        """Three files of three orders and 12 messages; one in each file and a sixth of the messages are broken."""
        for _ in range(3):
            self.files += 1
            lines = [f"o{self.files},{line},u,p,2025-01-06,1" for line in (1, 2)]
            text = "\n".join(["order_id,line_id,user_id,product_id,order_time,quantity", *lines, "broken"])
            part = self.folder / f".{self.files}"
            part.write_text(text, encoding="utf-8")
            part.rename(self.folder / "orders" / f"{self.files}.csv")
        values = []
        for _ in range(12):
            self.messages += 1
            whole = self.messages % 6 != 0
            self.broken += not whole
            text = json.dumps({"user_id": f"u{self.messages}"}) if whole else "{"
            values.append((self.messages % PARTITIONS, None, text.encode()))
        self._broker.send(self._spark, TOPIC, values)

    def sets(self, lake: str, broker: Broker) -> list[str]:
        """Settings by which it is taken."""
        return [
            *TEST_SETS,
            f"ingest.kafka.servers='{broker.servers}'",
            f"run.lake={lake}",
            f"run.landing={self.folder}",
            f"run.source={self.folder / 'shop.yaml'}",
        ]


def content(spark: SparkSession, lake: str) -> dict[str, list[tuple[Any, ...]]]:
    """All records but for when they came."""
    tables = Lake(spark, lake)
    found = {
        name: [tuple(row) for row in tables.read(f"raw_{name}").drop("loaded_at", "loaded_date", "extra").collect()]
        for name in ("users", "orders", "offers")
    }
    refused = tables.read("quarantine").drop("loaded_at", "loaded_date", "day").collect()
    found["quarantine"] = [(*row[:3], tuple(row["reasons"]), *row[4:]) for row in refused]
    return {name: sorted(rows, key=str) for name, rows in found.items()}


def killed(mode: str, draw: random.Random, sets: list[str]) -> bool:
    """Starts a process and kills it, by itself at a boundary of a write or from outside at some time.

    Returns:
        Whether it died by that; False: it had ended before.
    """
    point = draw.randrange(1, POINTS) if draw.random() < 0.5 else 0
    command = [sys.executable, str(Path(__file__).with_name("worker.py")), mode, str(point), *sets]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, start_new_session=True)
    assert process.stderr is not None
    said = []
    for line in process.stderr:
        said.append(line)
        if line.startswith("Listening"):
            break
    lives = threading.Thread(target=lambda: said.extend(process.stderr or ()), daemon=True)
    lives.start()
    with suppress(subprocess.TimeoutExpired):
        process.wait(timeout=30 if point else draw.uniform(0, SECONDS))
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    code = process.wait()
    assert code in (0, -signal.SIGKILL), "".join(said)[-3000:]
    time.sleep(0.2)
    return code != 0


@pytest.mark.processes
def test_killed_again_and_again(spark: SparkSession, broker: Broker, tmp_path: Path) -> None:
    (tmp_path / "landing").mkdir()
    landing = Landing(tmp_path / "landing", broker, spark)
    draw = random.Random(SEED)
    lake, calm = str(tmp_path / "lake"), str(tmp_path / "calm")
    deaths = rounds = 0
    while deaths < KILLS:
        landing.more()
        mode = "ingest" if rounds % 4 == 3 else "stream"
        deaths += killed(mode, draw, [*landing.sets(lake, broker), *LITTLE])
        rounds += 1
        assert rounds < 3 * KILLS + 3
    for place in (lake, calm):
        settings = load_settings([], landing.sets(place, broker), env={})
        execute(load_jobs()["ingest"], spark=spark, settings=settings, as_of=date(2025, 1, 31), run_id="last")
    found, expected = content(spark, lake), content(spark, calm)
    assert found == expected
    assert len(expected["users"]) == landing.messages - landing.broken
    assert len(expected["orders"]) == 2 * landing.files
    assert len(expected["quarantine"]) == landing.files + landing.broken
