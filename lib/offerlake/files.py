"""Small files beside the tables (models, reports, drops), on any file system that Spark knows."""

from __future__ import annotations

import re
from typing import Any

from py4j.protocol import Py4JJavaError
from pyspark.sql import SparkSession

from offerlake.errors import DataError, EnvironmentProblem


def _jvm(spark: SparkSession) -> Any:
    return spark._jvm  # noqa: SLF001  the only road to Hadoop's file systems that needs no further package


def _hadoop(spark: SparkSession, uri: str) -> tuple[Any, Any]:
    path = _jvm(spark).org.apache.hadoop.fs.Path(uri)
    return path.getFileSystem(spark.sparkContext._jsc.hadoopConfiguration()), path  # noqa: SLF001  as in _jvm


def qualified(spark: SparkSession, uri: str) -> str:
    """The whole URI, with scheme, of a path as Spark would understand it: for readers that are not Spark."""
    system, path = _hadoop(spark, uri)
    return str(system.makeQualified(path).toString())


def exists(spark: SparkSession, uri: str) -> bool:
    """True where there is a file or folder."""
    system, path = _hadoop(spark, uri)
    return bool(system.exists(path))


def read_bytes(spark: SparkSession, uri: str) -> bytes:
    """The whole content of a small file.

    Raises:
        DataError: It cannot be read.
    """
    system, path = _hadoop(spark, uri)
    try:
        stream = system.open(path)
    except Py4JJavaError as error:
        raise DataError(f"file {uri}: {error.java_exception.getMessage()}", fix="Check that it exists.") from None
    try:
        return bytes(_jvm(spark).org.apache.commons.io.IOUtils.toByteArray(stream))
    finally:
        stream.close()


def head(spark: SparkSession, uri: str, size: int) -> bytes:
    """The first few bytes of a file, `size` of them or all there are; each is a call of its own."""
    system, path = _hadoop(spark, uri)
    stream = system.open(path)
    try:
        return bytes(byte for byte in [stream.read() for _ in range(size)] if byte >= 0)
    finally:
        stream.close()


def write_bytes(spark: SparkSession, uri: str, content: bytes) -> None:
    """Writes a small file: under another name first, then renamed, so that nobody sees half of it.

    Raises:
        EnvironmentProblem: The storage does not rename it.
    """
    system, path = _hadoop(spark, uri)
    _, part = _hadoop(spark, uri + ".part")
    stream = system.create(part, True)
    try:
        stream.write(bytearray(content))
    finally:
        stream.close()
    system.delete(path, False)
    _rename(system, part, path)


def _listed(spark: SparkSession, uri: str) -> list[Any]:
    system, path = _hadoop(spark, uri)
    return list(system.listStatus(path)) if system.exists(path) else []


def names(spark: SparkSession, uri: str) -> list[str]:
    """Names of what lies in a folder, sorted; empty where there is none."""
    return sorted(str(status.getPath().getName()) for status in _listed(spark, uri))


def changed(spark: SparkSession, uri: str) -> dict[str, int]:
    """Names of what lies in a folder, each with when it last changed, epoch milliseconds; empty where there is none."""
    return {str(each.getPath().getName()): int(each.getModificationTime()) for each in _listed(spark, uri)}


def rename(spark: SparkSession, source: str, target: str) -> None:
    """Moves a file or folder; what was at the target goes.

    Raises:
        EnvironmentProblem: The storage does not rename it.
    """
    system, target_path = _hadoop(spark, target)
    system.delete(target_path, True)
    _rename(system, _hadoop(spark, source)[1], target_path)


def _rename(system: Any, source: Any, target: Any) -> None:
    # Hadoop's file systems say by a boolean that they did not: HDFS where the target is there or its folder is not.
    if not system.rename(source, target):
        raise EnvironmentProblem(
            f"file {target.toString()}: the storage did not rename {source.toString()} to it",
            fix="See that you may write to its folder and that nothing else writes there, then run again.",
        )


def delete(spark: SparkSession, uri: str) -> None:
    """Deletes a file or a folder with all in it; nothing where there is none."""
    system, path = _hadoop(spark, uri)
    system.delete(path, True)


def cause(text: str) -> str:
    """Of the text of an error of Spark's the innermost exception, without its package; else the first line."""
    causes = re.findall(r"(?:Caused by|\n): [\w.$]*?(\w+(?:Exception|Error)[^\n]*)", text)
    return str(causes[-1] if causes else text.strip().splitlines()[0])[:200]
