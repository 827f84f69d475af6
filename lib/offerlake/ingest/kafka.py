"""Topics as Spark's streams, and Kafka's failures in our words."""

from __future__ import annotations

import json
import re
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from pyspark.sql import DataFrame, SparkSession

from offerlake.config import KafkaSettings
from offerlake.errors import ConfigError, DataError, EnvironmentProblem
from offerlake.files import read_bytes
from offerlake.ingest.mapping import Source

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

_UNRESOLVED = "No resolvable bootstrap urls"
_AWAY = (
    _UNRESOLVED,
    "org.apache.kafka.common.errors.TimeoutException",
    "org.apache.kafka.common.errors.DisconnectException",
    "org.apache.kafka.common.errors.BrokerNotAvailableException",
    "Cannot fetch record for offset",
)
_NO_TOPIC = ("UnknownTopicOrPartitionException", "This server does not host this topic-partition")
_LOST = ("KAFKA_DATA_LOSS", "OffsetOutOfRangeException", "some data may have been missed")
_REFUSED = (
    "AuthenticationException",
    "AuthorizationException",
    "SslHandshake",
    "ConfigException",
    "for configuration ",
)


class BrokersAway(EnvironmentProblem):
    """No broker answers: it may come back."""


def check_servers(source: Source, settings: KafkaSettings) -> None:
    """Finds before Spark starts that a mapping has topics and the settings no brokers.

    Raises:
        ConfigError: `ingest.kafka.servers` is not given.
    """
    topics = {name: feed.topic for name, feed in source.feeds.items() if feed.topic}
    if topics and not settings.servers:
        name, topic = next(iter(topics.items()))
        raise ConfigError(
            f"setting ingest.kafka.servers: none, and feed {name} is the topic {topic}",
            fix="Give host:port of the brokers, such as --set ingest.kafka.servers=broker:9092.",
        )


def read_stream(spark: SparkSession, topic: str, settings: KafkaSettings, *, most: int) -> DataFrame:
    """A topic's messages from the first one on, as a stream: Kafka's own columns.

    Args:
        spark: The session.
        topic: The topic.
        settings: Where the brokers are.
        most: Messages of a micro-batch.
    """
    options = _options(topic, settings) | {"startingOffsets": "earliest", "maxOffsetsPerTrigger": str(most)}
    return spark.readStream.format("kafka").options(**options).load()


def read_some(spark: SparkSession, topic: str, settings: KafkaSettings) -> DataFrame:
    """The messages that a topic has now: Kafka's own columns, see `read_stream`."""
    return spark.read.format("kafka").options(**_options(topic, settings)).load()


def lost(spark: SparkSession, topic: str, settings: KafkaSettings, *, checkpoint: str, batch: int) -> int:
    """How many offsets of a micro-batch the topic had deleted before they were read.

    What the batch should hold stands in the checkpoint; what is gone of it lies below the partitions' first offsets.
    Offsets that hold no message (a transaction's end) count too. Of a checkpoint's first batch nothing can be told.

    Args:
        spark: The session.
        topic: The topic.
        settings: Where the brokers are.
        checkpoint: Its place.
        batch: The micro-batch's number.
    """
    if batch == 0:
        return 0
    begin, end = (_planned(spark, topic, checkpoint, number) for number in (batch - 1, batch))
    first = _first_offsets(spark, topic, settings, end)
    return sum(max(0, min(first[number], until) - begin.get(number, 0)) for number, until in end.items())


def _planned(spark: SparkSession, topic: str, checkpoint: str, batch: int) -> dict[int, int]:
    """Where a micro-batch ends: partition to the offset after its last one."""
    content = read_bytes(spark, f"{checkpoint}/offsets/{batch}").decode()
    return {int(number): offset for number, offset in json.loads(content.splitlines()[-1])[topic].items()}


def _first_offsets(spark: SparkSession, topic: str, settings: KafkaSettings, numbers: Iterable[int]) -> dict[int, int]:
    jvm: Any = spark._jvm  # noqa: SLF001  Spark's Kafka source does not tell
    admin = jvm.org.apache.kafka.clients.admin
    options, asked = jvm.java.util.Properties(), jvm.java.util.HashMap()
    for option, value in _options(topic, settings).items():
        if option.startswith("kafka."):
            options.setProperty(option.removeprefix("kafka."), value)
    for number in numbers:
        asked.put(jvm.org.apache.kafka.common.TopicPartition(topic, number), admin.OffsetSpec.earliest())
    client = admin.AdminClient.create(options)
    try:
        found = client.listOffsets(asked).all().get()
        return {place.partition(): found[place].offset() for place in found}
    finally:
        client.close()


def _options(topic: str, settings: KafkaSettings) -> dict[str, str]:
    own = {f"kafka.{name.removeprefix('kafka.')}": value.get_secret_value() for name, value in settings.options.items()}
    return own | {
        "kafka.bootstrap.servers": settings.servers or "",
        "subscribe": topic,
        "failOnDataLoss": "true" if settings.lost_offsets == "fail" else "false",
    }


@contextmanager
def explained(name: str, topic: str, settings: KafkaSettings) -> Iterator[None]:
    """Turns an error of Spark's about a topic of the feed `name` into ours; any other is raised as it is.

    Raises:
        BrokersAway: No broker answers.
        ConfigError: The brokers refuse the client, or Kafka's client one of its settings.
        DataError: There is no such topic, or it has lost messages that had not been read.
        EnvironmentProblem: Another process reads it for the same lake.
    """
    try:
        yield
    except Exception as error:
        known = _known(str(error), f"feed {name}: topic {topic}", settings)
        if known is None:
            raise
        raise known from error


def _known(text: str, what: str, settings: KafkaSettings) -> Exception | None:
    said = _cause(text)
    if any(sign in text for sign in _LOST):
        return DataError(
            f"{what}: messages were deleted before they were read: {said}",
            fix="Have the topic keep them longer, and go on with --set ingest.kafka.lost_offsets=skip for once. "
            "A topic that was made anew needs another name.",
        )
    if "CONCURRENT_STREAM_LOG_UPDATE" in text:
        return EnvironmentProblem(
            f"{what}: another process reads it at the same time",
            fix="Wait for it; where `offerlake stream` always runs set ingest.always_on=true.",
        )
    if any(sign in text for sign in _NO_TOPIC):
        return DataError(f"{what} does not exist at {settings.servers}", fix="Make it, or mend topic in the mapping.")
    if any(sign in text for sign in _REFUSED) and _UNRESOLVED not in text:
        return ConfigError(
            f"{what}: the client of {settings.servers} is refused: {said}", fix="Look at ingest.kafka.options."
        )
    if any(sign in text for sign in _AWAY):
        return BrokersAway(
            f"{what}: no broker answers at {settings.servers}: {said}",
            fix="Check ingest.kafka.servers and the brokers; the next run goes on where this one stopped.",
        )
    return None


def _cause(text: str) -> str:
    causes: list[Any] = re.findall(r"(?:Caused by: )?[\w.$]*?(\w+(?:Exception|Error): [^\n]*)", text)
    first = text.strip().partition("\n")[0].partition("terminated with exception: ")
    return str(causes[-1] if causes else first[2] or first[0])[:200]
