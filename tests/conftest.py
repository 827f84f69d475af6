"""One Spark session and one Kafka broker for all tests."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from pyspark.sql import SparkSession

from broker import Broker
from offerlake.config import Settings, load_settings
from offerlake.session import AVRO_LIMITS, open_session

JAVA = (
    "-Duser.timezone=UTC -XX:TieredStopAtLevel=1 -XX:+UseSerialGC -XX:ReservedCodeCacheSize=512m -XX:MetaspaceSize=512m"
    f" {AVRO_LIMITS}"
)
TEST_SETS = (
    "spark.master=local[2]",
    "spark.driver_memory=2g",
    "spark.shuffle_partitions=2",
    "spark.snapshot_partitions=1",
    "spark.conf={spark.ui.enabled: 'false', spark.databricks.delta.retentionDurationCheck.enabled: 'false'}",
    # Short plans on small data: compiling them thoroughly costs more than running them. But many: with less room for
    # their code Java stops compiling after a minute.
    f"spark.conf={{spark.driver.extraJavaOptions: '{JAVA}'}}",
)


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


@pytest.fixture(scope="session")
def spark(settings: Settings) -> Iterator[SparkSession]:
    """The one session."""
    session = open_session(settings.spark, app="tests")
    yield session
    session.stop()
