"""One Spark session and one Kafka broker for all tests of a process."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from pyspark.sql import SparkSession

from broker import Broker
from offerlake.config import Settings, load_settings
from offerlake.session import AVRO_LIMITS, open_session

JAVA = (
    "-Duser.timezone=UTC -XX:TieredStopAtLevel=1 -XX:+UseSerialGC -XX:ReservedCodeCacheSize=512m -XX:MetaspaceSize=512m"
    # Delta keeps ten thousand tables' logs for an hour, each with the plans that read it: here of tables long gone.
    f" -Ddelta.log.cacheSize=200 {AVRO_LIMITS}"
)
TEST_SETS = (
    "spark.master=local[2]",
    "spark.driver_memory=2g",
    "spark.shuffle_partitions=2",
    "spark.snapshot_partitions=1",
    "spark.conf={spark.ui.enabled: 'false', spark.sql.ui.retainedExecutions: '1'}",
    "spark.conf={spark.buffer.pageSize: 1m}",  # each sort and each table that is broadcast takes one: else of 32 MiB
    "spark.conf={spark.sql.codegen.cache.maxEntries: '1000'}",  # tests make the same plans again and again
    # Rows given by Python that stay in the plan would be looked through by every rule of the planner.
    "spark.conf={spark.sql.execution.arrow.localRelationThreshold: '64k'}",
    "spark.conf={spark.databricks.delta.retentionDurationCheck.enabled: 'false'}",
    # Short plans on small data: compiling them thoroughly costs more than running them. But many: with less room for
    # their code Java stops compiling after a minute.
    f"spark.conf={{spark.driver.extraJavaOptions: '{JAVA}'}}",
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What takes longest begins first, so that of two processes none is left with it at the end."""
    items.sort(key=lambda item: item.path.parent.name != "whole")


@pytest.fixture(scope="session")
def settings() -> Settings:
    """The settings of the tests: those of base.yaml, with a small Spark."""
    return load_settings([], TEST_SETS, env={})


@pytest.fixture(scope="session")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Broker]:
    """A Kafka broker for all; who stops it starts it again."""
    node = Broker.made(tmp_path_factory.mktemp("kafka"))
    yield node
    node.stop()


_FIRST: dict[str, str | None] = {}


@pytest.fixture(autouse=True)
def _as_it_was() -> Iterator[None]:
    """A command that a test calls gives the one session its own settings: 50 partitions of each table's log, say."""
    yield
    session = SparkSession.getActiveSession()
    if session is not None and _FIRST:
        for name, value in session.conf.getAll.items():
            if name not in _FIRST:
                session.conf.unset(name)
            elif value != _FIRST[name]:
                session.conf.set(name, _FIRST[name] or "")


@pytest.fixture(scope="module", autouse=True)
def _nothing_kept() -> Iterator[None]:
    """What a module's tests leave in the cache would be compared with each part of every later plan."""
    yield
    session = SparkSession.getActiveSession()
    if session is not None:
        session.catalog.clearCache()


@pytest.fixture(scope="session")
def spark(settings: Settings) -> Iterator[SparkSession]:
    """The one session."""
    session = open_session(settings.spark, app="tests")
    _FIRST.update(session.conf.getAll)
    yield session
    session.stop()
