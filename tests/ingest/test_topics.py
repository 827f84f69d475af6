"""The ingest job over topics of a real broker: each message once, whatever is cut off or lost in between."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

import pytest
import yaml
from pyspark.sql import SparkSession

from broker import Broker
from offerlake.config import Settings, load_settings
from offerlake.errors import ConfigError, DataError, EnvironmentProblem
from offerlake.ingest.mapping import load_source
from offerlake.job import Context, execute
from offerlake.pipeline import load_jobs
from offerlake.schemas.bronze import FEEDS
from offerlake.sources import check
from offerlake.tables import Lake, Written

PATIENCE = "{default.api.timeout.ms: 3000, request.timeout.ms: 2000}"


class Shop:
    """A shop whose users come by messages; a lake to come."""

    def __init__(self, spark: SparkSession, broker: Broker, settings: Settings, folder: Path) -> None:
        self.spark, self.broker, self.topic = spark, broker, f"users-{folder.name}"
        feeds = {
            "users": {"topic": self.topic, "format": "jsonl"},
            "offers": {"path": "offers.csv", "format": "csv"},
        }
        none = [name for name in FEEDS if name not in feeds]
        mapping = folder / "shop.yaml"
        mapping.write_text(yaml.safe_dump({"source": "shop", "feeds": feeds, "none": none}), encoding="utf-8")
        (folder / "offers.csv").write_text(
            "offer_id,kind,scope,valid_from,valid_to\no,gift,all,2024-01-01,2024-06-01\n"
        )
        run = {"lake": str(folder / "lake"), "landing": str(folder), "source": str(mapping)}
        self.settings = settings.model_copy(update={"run": settings.run.model_copy(update=run)})
        self.set(servers=broker.servers)
        self.lake = Lake(spark, run["lake"])

    def set(self, **kafka: Any) -> None:
        ingest = self.settings.ingest
        most = kafka.pop("most", ingest.max_offsets)
        ingest = ingest.model_copy(update={"kafka": ingest.kafka.model_copy(update=kafka), "max_offsets": most})
        self.settings = self.settings.model_copy(update={"ingest": ingest})

    def send(self, *users: str, partition: int = 0) -> None:
        values = [json.dumps({"user_id": user}).encode() if user != "?" else b"?" for user in users]
        self.broker.send(self.spark, self.topic, [(partition, None, value) for value in values])

    def ingest(self) -> Context:
        return execute(load_jobs()["ingest"], spark=self.spark, settings=self.settings, as_of=DAY, run_id="r")

    def users(self) -> list[tuple[str, str, str]]:
        rows = self.lake.read("raw_users").select("user_id", "source", "source_position").collect()
        return sorted((row[0], row[1].rpartition("/")[2], row[2]) for row in rows)

    def refused(self) -> list[tuple[str, str]]:
        rows = self.lake.read("quarantine").select("reasons", "source_position").collect()
        return sorted((row[0][0], row[1]) for row in rows)

    def metric(self, name: str) -> float:
        (row,) = self.lake.read("metrics").where(f"name = '{name}'").collect()
        return float(row["value"])


DAY = date(2025, 1, 31)


@pytest.fixture
def shop(spark: SparkSession, broker: Broker, settings: Settings, tmp_path: Path) -> Shop:
    return Shop(spark, broker, settings, tmp_path)


def test_once_and_only_once(shop: Shop) -> None:
    shop.send("a", "b", "?")
    shop.send("c", partition=1)
    first = shop.ingest()
    assert first.counts == {"rows_in": 5, "rows_out": 4, "quarantined": 1}
    there = [("a", "0", "0"), ("b", "0", "1"), ("c", "1", "0")]
    assert shop.users() == there
    assert shop.refused() == [("malformed_json:?", "2")]
    assert shop.metric("ingest.users.rows") == 3
    versions = shop.lake.version("raw_users"), shop.lake.version("quarantine")
    assert shop.ingest().outputs == {}
    assert (shop.lake.version("raw_users"), shop.lake.version("quarantine")) == versions

    # Two messages a partition and micro-batch: each batch is a commit of its own.
    shop.set(most=2)
    shop.send("d", "e", "f", "g")
    shop.ingest()
    assert shop.users() == [*there, *((user, "0", str(3 + place)) for place, user in enumerate("defg"))]
    assert shop.lake.version("raw_users") == versions[0] + 2

    # Without its checkpoint the topic is read anew; what is in bronze is not taken again.
    shutil.rmtree(Path(shop.lake.root) / "checkpoints")
    shop.send("h", partition=1)
    shop.ingest()
    assert shop.users()[-1] == ("h", "1", "1")
    assert len(shop.users()) == 8
    assert len(shop.refused()) == 1
    shop.send("i", partition=1)
    shop.ingest()
    assert [user for user, *_ in shop.users()] == list("abcdefghi")


@pytest.mark.parametrize("cut", ["before the table", "after the table"])
def test_cut_off(shop: Shop, monkeypatch: pytest.MonkeyPatch, cut: str) -> None:
    shop.send("a", "?")
    write: Callable[..., Written] = Lake.write

    def cut_off(lake: Lake, name: str, *args: Any, **kwargs: Any) -> Written:
        if name != "raw_users":
            return write(lake, name, *args, **kwargs)
        if cut == "after the table":
            write(lake, name, *args, **kwargs)
        raise EnvironmentProblem("cut off", fix="")

    with monkeypatch.context() as patch:
        patch.setattr(Lake, "write", cut_off)
        with pytest.raises(EnvironmentProblem, match="cut off"):
            shop.ingest()
    assert len(shop.refused()) == 1
    assert len(shop.users()) == (cut == "after the table")
    shop.send("b")
    shop.ingest()
    assert shop.users() == [("a", "0", "0"), ("b", "0", "2")]
    assert shop.refused() == [("malformed_json:?", "1")]


def test_a_batch_of_another_query_is_not_taken_for_one_that_was_written(shop: Shop) -> None:
    """A new checkpoint begins at number 0 again: Delta would drop its batches, were the writer the feed."""
    shop.send("a")
    shop.ingest()
    shutil.rmtree(Path(shop.lake.root) / "checkpoints")
    shop.broker.forget(shop.spark, shop.topic, 0, 1)
    shop.send("b")
    shop.ingest()
    assert [user for user, *_ in shop.users()] == ["a", "b"]


def test_messages_that_were_deleted_unread(shop: Shop) -> None:
    shop.send("a", "b")
    shop.ingest()
    shop.send("c", "d")
    shop.broker.forget(shop.spark, shop.topic, 0, 3)
    with pytest.raises(DataError, match=f"feed users: topic {shop.topic}: messages were deleted before") as caught:
        shop.ingest()
    assert "ingest.kafka.lost_offsets=skip" in caught.value.fix
    assert [user for user, *_ in shop.users()] == ["a", "b"]
    shop.set(lost_offsets="skip")
    shop.ingest()
    assert [user for user, *_ in shop.users()] == ["a", "b", "d"]
    assert shop.metric("ingest.users.lost_offsets") == 1


def test_lost_offsets_are_counted_batch_by_batch_and_once(shop: Shop) -> None:
    """Two messages a micro-batch; the first batches are gone altogether."""
    shop.set(most=2, lost_offsets="skip")
    shop.send("a")
    shop.ingest()
    assert shop.metric("ingest.users.lost_offsets") == 0
    shop.send("b", "c", "d", "e", "f", "g", "h")
    shop.send("i", partition=1)
    shop.broker.forget(shop.spark, shop.topic, 0, 6)
    shop.ingest()
    assert [user for user, *_ in shop.users()] == ["a", "g", "h", "i"]
    assert shop.metric("ingest.users.lost_offsets") == 5
    shop.send("j")
    shop.ingest()
    assert shop.metric("ingest.users.lost_offsets") == 0, "those of this attempt"


def test_what_is_wrong_is_told(shop: Shop, spark: SparkSession) -> None:
    with pytest.raises(DataError, match=f"topic {shop.topic} does not exist at 127"):
        shop.ingest()
    shop.send("?")
    with pytest.raises(DataError, match=f"feed users: topic {shop.topic} has no message that can be used"):
        shop.ingest()
    shop.send("a")
    secret = "secret-of-the-test"
    options = load_settings(
        [], [f"ingest.kafka.options={{security.protocol: none, sasl.jaas.config: {secret}}}"], env={}
    )
    shop.set(options=options.ingest.kafka.options)
    with pytest.raises(ConfigError, match=r"the client of 127.* is refused: Invalid value none") as caught:
        shop.ingest()
    assert secret not in str(caught.value)
    assert secret not in json.dumps([row.asDict() for row in shop.lake.read("runs").collect()], default=str)
    shop.set(servers=None)
    with pytest.raises(ConfigError, match=r"setting ingest\.kafka\.servers: none, and feed users is the topic"):
        shop.ingest()


def test_a_mapping_is_checked_by_its_messages(shop: Shop) -> None:
    shop.send("a", "?", "b")
    source = load_source(shop.settings.run.source)
    users = next(look for look in check(shop.spark, source, shop.settings, rows=10) if look.name == "users")
    assert (users.records, users.usable, users.files, users.ok) == (3, 2, 0, True)
    assert ("the record", 1) in [(column.name, column.refused) for column in users.columns]


def test_brokers_that_are_away_and_come_back(shop: Shop) -> None:
    options = load_settings([], [f"ingest.kafka.options={PATIENCE}"], env={}).ingest.kafka.options
    shop.set(options=options)
    shop.send("a")
    shop.ingest()
    shop.send("b")
    shop.broker.stop()
    try:
        with pytest.raises(EnvironmentProblem, match=f"topic {shop.topic}: no broker answers at 127") as caught:
            shop.ingest()
    finally:
        shop.broker.start()
    assert "goes on where this one stopped" in caught.value.fix
    shop.ingest()
    assert [user for user, *_ in shop.users()] == ["a", "b"]


def test_brokers_that_go_away_between_two_batches(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    options = load_settings([], [f"ingest.kafka.options={PATIENCE}"], env={}).ingest.kafka.options
    shop.set(options=options, most=2)
    shop.send("a", "b", "?", "c", "d")
    write: Callable[..., Written] = Lake.write

    def and_then_gone(lake: Lake, name: str, *args: Any, **kwargs: Any) -> Written:
        written = write(lake, name, *args, **kwargs)
        if name == "raw_users" and shop.broker.process is not None and shop.broker.process.poll() is None:
            shop.broker.stop()
        return written

    try:
        with monkeypatch.context() as patch:
            patch.setattr(Lake, "write", and_then_gone)
            with pytest.raises(EnvironmentProblem, match=f"topic {shop.topic}: no broker answers at 127"):
                shop.ingest()
    finally:
        shop.broker.start()
    assert [user for user, *_ in shop.users()] == ["a", "b"]
    shop.ingest()
    assert [user for user, *_ in shop.users()] == list("abcd")
    assert shop.refused() == [("malformed_json:?", "2")]
