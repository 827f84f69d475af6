"""Frames from any Parquet, CSV, JSON lines or Delta file that an option of the command line names."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager

from py4j.protocol import Py4JJavaError
from pyspark.errors import PySparkException
from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F

from offerlake import files
from offerlake.errors import ConfigError, DataError, nearest

_ENDINGS = {".csv": "csv", ".csv.gz": "csv", ".jsonl": "json", ".jsonl.gz": "json", ".parquet": "parquet"}


def read_given(
    spark: SparkSession, path: str, columns: Mapping[str, str], *, option: str, optional: Collection[str] = ()
) -> DataFrame:
    """The columns of a file, or of a folder of Parquet files or a Delta table, typed.

    Args:
        spark: The session.
        path: Path or URI.
        columns: What is wanted, name to SQL type; the others are left out.
        option: Who names it, for messages.
        optional: Those of `columns` that may be missing, and null.

    Raises:
        ConfigError: There is no such file, or it is of no kind that is read.
        DataError: It cannot be read, lacks a column, or a value is missing or of another type.
    """
    if not files.exists(spark, path):
        raise ConfigError(f"{option}: {path} does not exist", fix="Give a file, or a folder of Parquet files.")
    kind = "delta" if files.exists(spark, f"{path}/_delta_log") else _kind(path, option)
    reader = spark.read.format(kind)
    if kind == "csv":
        reader = reader.options(header="true", escape='"', multiLine="true")
    if kind == "json":
        reader = reader.option("primitivesAsString", "true")
    where = f"{option}: {path}"
    with _readable(where, kind):
        frame = reader.load(path)
    for name in columns:
        if name not in frame.columns and name not in optional:
            raise DataError(f"{where} has no column {name}", fix=nearest(name, frame.columns))
    there = {name: type_ for name, type_ in columns.items() if name in frame.columns}
    typed = {name: F.col(f"`{name}`").try_cast(type_) for name, type_ in there.items()}
    with _readable(where, kind):
        _check(frame, typed, there, where, optional)
    return frame.select(*[column.alias(name) for name, column in typed.items()])


@contextmanager
def _readable(where: str, kind: str) -> Iterator[None]:
    try:
        yield
    except (PySparkException, Py4JJavaError) as error:
        told = files.cause(str(error))
        raise DataError(f"{where} cannot be read as {kind}: {told}", fix="Look at the file.") from error


def _kind(path: str, option: str) -> str:
    kind = next((kind for ending, kind in _ENDINGS.items() if path.endswith(ending)), None)
    if kind is None and "." in path.rstrip("/").rpartition("/")[2]:
        raise ConfigError(
            f"{option}: {path} is none of {', '.join(_ENDINGS)}", fix="Give a file of one of these kinds."
        )
    return kind or "parquet"


def _check(
    frame: DataFrame, typed: Mapping[str, Column], types: Mapping[str, str], where: str, optional: Collection[str]
) -> None:
    """One pass over the file: how many values are missing or wrong, and one that is."""
    counts = []
    for name, column in typed.items():
        raw = F.col(f"`{name}`")
        counts += [
            F.count_if(raw.isNull()).alias(f"missing_{name}"),
            F.count_if(raw.isNotNull() & column.isNull()).alias(f"wrong_{name}"),
            F.max(F.when(column.isNull(), raw.cast("string"))).alias(f"such_as_{name}"),
        ]
    found = frame.agg(*counts).first()
    assert found is not None
    for name in typed:
        if missing := 0 if name in optional else found[f"missing_{name}"]:
            raise DataError(f"{where}: {name} is missing in {missing} rows", fix="Leave these rows out.")
        if wrong := found[f"wrong_{name}"]:
            such = found[f"such_as_{name}"][:100]
            raise DataError(f"{where}: {name} is no {types[name]} in {wrong} rows, such as {such!r}", fix="Mend them.")
