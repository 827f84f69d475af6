"""The one place that opens a Spark session."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pyspark
from pyspark.sql import SparkSession

from offerlake import blas, jars
from offerlake.config import SparkSettings
from offerlake.errors import EnvironmentProblem

# What Offerlake's results rest on; everything else is the user's to set.
_FIXED = {
    "spark.sql.extensions": "io.delta.sql.DeltaSparkSessionExtension",
    "spark.sql.catalog.spark_catalog": "org.apache.spark.sql.delta.catalog.DeltaCatalog",
    "spark.sql.session.timeZone": "UTC",
    "spark.sql.ansi.enabled": "true",
    "spark.sql.execution.arrow.pyspark.enabled": "true",
    # Spark looks after each row how many bytes a batch for Python has, which costs more than to write the row; with
    # this number it does not. What Python gets are numbers and ids: 10,000 rows of them, its other limit, are little.
    "spark.sql.execution.arrow.maxBytesPerBatch": str(2**31 - 1),
    "spark.sql.adaptive.enabled": "true",
    # Java never compiles a method of more bytes than this; a plan that would make one goes operator by operator.
    "spark.sql.codegen.hugeMethodLimit": "8000",
    # Else each time is twelve bytes that Parquet looks up in a dictionary, where a number will do.
    "spark.sql.parquet.outputTimestampType": "TIMESTAMP_MICROS",
    # Names of which hardly any comes twice: a dictionary of them is work for nothing.
    **{
        f"spark.hadoop.parquet.enable.dictionary#{name}": "false"
        for name in ("event_id", "session_id", "exposure_id", "redemption_id", "record_id", "source_position")
    },
    # Working out what must hold of every column takes minutes of planning where columns derive from one another, as
    # when cleaning, and finds nothing that the steps do not say themselves.
    "spark.sql.constraintPropagation.enabled": "false",
}

# Garbage read as Avro may say that a text of gigabytes follows: more than this it is not given room for, in bytes.
AVRO_LIMITS = "-Dorg.apache.avro.limits.string.maxLength=67108864 -Dorg.apache.avro.limits.bytes.maxLength=67108864"
"""For Java: the longest text and the longest bytes within an Avro record, 64 MiB."""

_JAVA = f"-Duser.timezone=UTC -Dio.netty.tryReflectionSetAccessible=true {AVRO_LIMITS}"
# Everything in one process on a few cores. Spark's code for a plan lives as long as the plan, so that compiling it
# thoroughly seldom pays: that is left to what runs ten times longer than usual; the code of a whole pipeline is more
# than Java keeps by itself, and each step of the classes' memory would cost a full collection; the collector has no
# threads that compete with the tasks; and a method of a plan for which the thorough compiler would need more than
# a second or two (eight of them took it eighty, of a demo's run) stays as the quick one left it.
_LOCAL_JAVA = (
    "-XX:+UseParallelGC -XX:ReservedCodeCacheSize=512m -XX:MetaspaceSize=768m -XX:Tier4InvocationThreshold=50000 "
    "-XX:Tier4MinInvocationThreshold=6000 -XX:Tier4CompileThreshold=150000 -XX:Tier4BackEdgeThreshold=400000 "
    "-XX:MaxNodeLimit=24000 -XX:NodeLimitFudgeFactor=1000"
)


def java_version() -> int | None:
    """Major version of the Java that Spark would use; None without one."""
    home = os.environ.get("JAVA_HOME")
    java = shutil.which(str(Path(home, "bin", "java")) if home else "java")
    if java is None:
        return None
    text = subprocess.run([java, "-version"], capture_output=True, text=True, check=False).stderr
    digits = text.partition('"')[2].partition('"')[0].split(".")
    return int(digits[0]) if digits[0].isdigit() else None


def open_session(settings: SparkSettings, *, app: str = "offerlake") -> SparkSession:
    """Opens, or joins, the process's Spark session.

    Under spark-submit the master, the memory and the JARs are spark-submit's; else they are set here, so that the
    same job runs by `python jobs/x.py`.

    Raises:
        EnvironmentProblem: Java or a JAR is missing.
    """
    submitted = "PYSPARK_GATEWAY_PORT" in os.environ
    builder = SparkSession.builder.appName(app)
    options = {
        **_FIXED,
        "spark.sql.shuffle.partitions": str(settings.shuffle_partitions),
        "spark.databricks.delta.snapshotPartitions": str(settings.snapshot_partitions),
        "spark.ui.showConsoleProgress": "false",
        **settings.conf,
    }
    if not submitted and SparkSession.getActiveSession() is None:
        options = {**_own_process(settings), **options}
    for name, value in options.items():
        builder = builder.config(name, value)
    session = builder.getOrCreate()
    # In this process every error comes back as an exception; the log would tell it twice.
    session.sparkContext.setLogLevel("ERROR" if submitted else "OFF")
    return session


def _own_process(settings: SparkSettings) -> dict[str, str]:
    version = java_version()
    if version is None or version < 17:
        raise EnvironmentProblem(
            f"Java: {'not found' if version is None else f'version {version}'}",
            fix="Install a JDK 17 (Debian: apt-get install openjdk-17-jdk-headless) or set JAVA_HOME to one.",
        )
    os.environ["PYSPARK_PYTHON"] = os.environ["PYSPARK_DRIVER_PYTHON"] = sys.executable
    os.environ["SPARK_HOME"] = str(Path(pyspark.__file__).parent)
    master = settings.master or "local[*]"
    options = {
        "spark.master": master,
        "spark.jars": ",".join(str(path) for path in jars.fetch()),
        "spark.driver.extraJavaOptions": f"{_JAVA} {_LOCAL_JAVA}" if master.startswith("local") else _JAVA,
    }
    with suppress(EnvironmentProblem):  # then Spark ML computes in Java; `offerlake doctor` says why
        options["spark.driver.extraLibraryPath"] = str(blas.libraries())
        os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # Spark's tasks are as many as there are cores
    if master.startswith("local"):
        os.environ.setdefault("SPARK_LOCAL_IP", "127.0.0.1")
        options["spark.driver.host"] = "127.0.0.1"
    if settings.driver_memory:
        options["spark.driver.memory"] = settings.driver_memory
    return options
