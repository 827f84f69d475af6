"""A real Kafka broker as a process of its own: one node in KRaft mode, from JARs that only tests need."""

from __future__ import annotations

import socket
import subprocess
import sys
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyspark
from pyspark.sql import SparkSession

from offerlake import jars

_JARS = "org.apache.kafka:kafka_2.13:3.9.1"
_JAVA = ("java", "-Xmx256m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1")
_CLUSTER = "MkU3OEVBNTcwNTJENDM2Qg"
PARTITIONS = 2
"""Of a topic that is made by writing to it."""

Message = tuple[int, str | None, bytes | None]
"""Partition, key, value."""


def class_path() -> str:
    """The broker's JARs, fetched once into the environment."""
    folder = Path(sys.prefix) / "test-jars"
    if not list(folder.glob("kafka_*.jar")):
        jars.resolve([_JARS], folder)
    scala = next((Path(pyspark.__file__).parent / "jars").glob("scala-library-*.jar"))  # the resolver leaves it out
    return f"{folder / '*'}:{scala}"


def _free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


@dataclass
class Broker:
    """One node and its data; it can be stopped and started again."""

    folder: Path
    port: int
    process: subprocess.Popen[bytes] | None = None

    @classmethod
    def made(cls, folder: Path) -> Broker:
        """A node with nothing in it, started."""
        port, controller = _free_port(), _free_port()
        settings = {
            "process.roles": "broker,controller",
            "node.id": "1",
            "listeners": f"PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller}",
            "advertised.listeners": f"PLAINTEXT://127.0.0.1:{port}",
            "controller.listener.names": "CONTROLLER",
            "controller.quorum.voters": f"1@127.0.0.1:{controller}",
            "log.dirs": str(folder / "data"),
            "num.partitions": str(PARTITIONS),
            "offsets.topic.replication.factor": "1",
            "transaction.state.log.replication.factor": "1",
            "transaction.state.log.min.isr": "1",
            "group.initial.rebalance.delay.ms": "0",
        }
        folder.mkdir(parents=True, exist_ok=True)
        lines = "".join(f"{name}={value}\n" for name, value in settings.items())
        (folder / "server.properties").write_text(lines, encoding="utf-8")
        made = cls(folder, port)
        made._java("kafka.tools.StorageTool", "format", "-t", _CLUSTER, "-c", str(folder / "server.properties")).wait()
        made.start()
        return made

    @property
    def servers(self) -> str:
        return f"127.0.0.1:{self.port}"

    def start(self) -> None:
        """Starts it, and waits until it answers."""
        self.process = self._java("kafka.Kafka", str(self.folder / "server.properties"))
        until = time.monotonic() + 60
        while time.monotonic() < until:
            assert self.process.poll() is None, (self.folder / "log").read_text()[-3000:]
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", self.port)) == 0:
                    return
            time.sleep(0.1)
        raise TimeoutError((self.folder / "log").read_text()[-3000:])

    def stop(self) -> None:
        """Ends it as a crash would; its data stays."""
        assert self.process is not None
        self.process.kill()
        self.process.wait()

    def _java(self, *arguments: str) -> subprocess.Popen[bytes]:
        with (self.folder / "log").open("ab") as log:
            command = [*_JAVA, "-cp", class_path(), *arguments]
            return subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT, start_new_session=True)

    def send(self, spark: SparkSession, topic: str, messages: Iterable[Message]) -> None:
        """Writes messages, in order within each partition; the topic is made if there is none."""
        schema = "partition int, key string, value binary"
        frame = spark.createDataFrame([(number, key, value) for number, key, value in messages], schema).coalesce(1)
        options = {"kafka.bootstrap.servers": self.servers, "topic": topic}
        frame.write.format("kafka").options(**options).save()

    def forget(self, spark: SparkSession, topic: str, partition: int, before: int) -> None:
        """Deletes a partition's messages before an offset, as retention would."""
        jvm: Any = spark._jvm
        settings = jvm.java.util.Properties()
        settings.setProperty("bootstrap.servers", self.servers)
        client = jvm.org.apache.kafka.clients.admin.AdminClient.create(settings)
        loader = jvm.java.lang.Thread.currentThread().getContextClassLoader()
        kind = jvm.java.lang.Class.forName("org.apache.kafka.clients.admin.RecordsToDelete", True, loader)
        made = next(
            each
            for each in kind.getMethods()
            if (each.getName(), each.getParameterCount()) == ("beforeOffset", 1)  # without one it is a getter
        )
        offset = spark.sparkContext._gateway.new_array(jvm.java.lang.Object, 1)
        offset[0] = before
        what = jvm.java.util.HashMap()
        what.put(jvm.org.apache.kafka.common.TopicPartition(topic, partition), made.invoke(None, offset))
        client.deleteRecords(what).all().get()
        client.close()
