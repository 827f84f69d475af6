"""The files of a feed in the landing folder."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote

from py4j.protocol import Py4JJavaError
from pyspark.errors import AnalysisException, PySparkException
from pyspark.sql import SparkSession

from offerlake.errors import DataError, EnvironmentProblem
from offerlake.files import cause, head
from offerlake.ingest.mapping import NEVER_NONE

_BZIP2 = b"BZh"
_CLOSED = ("Permission denied", "AccessControlException", "AccessDeniedException", "Invalid directory or I/O error")
_OPEN_IT = "Let the user who runs this read it, or remove it."
_LAND_IT = "Land the file again, or remove it; check the mapping's format."


@dataclass(frozen=True)
class File:
    """One file.

    Attributes:
        path: With scheme, as `plain` gives it.
        name: Below the landing folder.
        uri: As Spark gives it.
        table: The Delta table that it is a part of, or nothing.
    """

    path: str
    name: str
    uri: str
    table: str = ""


def find(spark: SparkSession, landing: str, name: str, pattern: str, *, table: bool = False) -> list[File]:
    """The files of a feed, in the order of their names; those that begin with `_` or `.` have not landed yet.

    Args:
        spark: The session.
        landing: Full URI of the landing folder.
        name: The feed.
        pattern: Its files below the landing folder.
        table: Whether that is the folder of a Delta table: its files are those of its newest version.

    Raises:
        DataError: None matches.
    """
    below = landing.rstrip("/")
    place = f"{below}/{pattern}"
    with looking(name, pattern):
        try:
            uris = spark.read.format("delta" if table else "binaryFile").load(place).inputFiles()
            if table:  # Delta gives names as they are, and files' metadata as URIs
                uris = [str(_path(spark)(uri).toUri()) for uri in uris]
        except AnalysisException as error:
            if error.getCondition() not in ("PATH_NOT_FOUND", "DELTA_PATH_DOES_NOT_EXIST", "DELTA_TABLE_NOT_FOUND"):
                raise
            uris = []
    if not uris:
        missing = "." if name in NEVER_NONE else f", or list {name} under none: in the source's mapping."
        raise DataError(
            f"feed {name}: no {'Delta table with rows is at' if table else 'file matches'} {place}",
            fix=f"Land its files there{missing}",
        )
    root = plain(below) + "/"
    files = [File(plain(uri), plain(uri).removeprefix(root), uri, place if table else "") for uri in uris]
    return sorted(files, key=lambda file: file.name)


def _path(spark: SparkSession) -> Any:
    return spark._jvm.org.apache.hadoop.fs.Path  # type: ignore[union-attr]  # noqa: SLF001  Python's own API has none


def paths(files: Sequence[File]) -> list[str]:
    """What Spark's readers take for these very files: names decoded, characters of patterns escaped."""
    return [literal(file.path) for file in files]


def literal(path: str) -> str:
    """A path whose characters of patterns are escaped."""
    return re.sub(r"([\\*?\[\]{}])", r"\\\1", path)


def plain(uri: str) -> str:
    """A URI as Spark gives it, without escapes, and the same whichever part of Spark gave it."""
    return re.sub(r"^file:/+", "file:/", unquote(uri))


@contextmanager
def looking(name: str, pattern: str) -> Iterator[None]:
    """Turns Spark's error on the way to the files of the feed `name` into ours."""
    try:
        yield
    except (PySparkException, Py4JJavaError) as error:
        fix = _OPEN_IT if _closed(str(error)) else "See that it can be read, or mend its * and brackets in the mapping."
        raise DataError(f"feed {name}: path {pattern!r}: {cause(str(error))}", fix=fix) from error


@contextmanager
def explained(name: str, file: str = "a file") -> Iterator[None]:
    """Turns Spark's error about a file of the feed `name` into ours."""
    try:
        yield
    except (PySparkException, Py4JJavaError) as error:
        text = str(error)
        if "No space left on device" in text:
            raise EnvironmentProblem("ingest: no space left on device", fix="Free space and run again.") from error
        named = re.search(r"\b(?:file|hdfs|s3a?|gs|abfss?|dbfs):/\S*?/([^/\s]+?)[.;:,]*(?=\s|$)", text)
        raise DataError(
            f"feed {name}: {unquote(named.group(1)) if named else file} cannot be read: {cause(text)}",
            fix=_OPEN_IT if _closed(text) else _LAND_IT,
        ) from error


def check_packed(spark: SparkSession, name: str, files: Iterable[File]) -> None:
    """Finds among files without a record those that only seem to have none: what is no bzip2 is read as nothing.

    Raises:
        DataError: There is one.
    """
    for file in files:
        if file.name.endswith(".bz2") and head(spark, file.path, len(_BZIP2)) not in (b"", _BZIP2):
            raise DataError(f"feed {name}: {file.name} cannot be read: not a bzip2 file", fix=_LAND_IT)


def _closed(text: str) -> bool:
    return any(sign in text for sign in _CLOSED)
