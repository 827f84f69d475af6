"""Readers of landing files: each gives our columns as strings, what is wrong with a record, and its order.

What a reader gives (`Records.frame`), one row a record:

* `_file`: URI of its file; `_block`: offset of the split it was read in; `_order`: rises with the place within a split
* `_blank`: true for an empty line, which counts as a line but not as a record
* `_other`: true for a record that the mapping leaves to another feed; it counts as a line, and apart
* `_asked`: true for a record with something in all columns by which the mapping tells feeds apart
* `_reasons`: array of strings, empty where the record can be read
* `_record`: the raw text where it cannot
* the feed's bronze columns and `extra`
"""

from __future__ import annotations

import csv
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import reduce

from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F
from pyspark.sql import types as T

from offerlake.errors import DataError, nearest
from offerlake.ingest.landing import File, explained, paths, plain
from offerlake.ingest.mapping import ANY, POSITION, Feed, claimed, needed
from offerlake.schemas.bronze import FEEDS

_BROKEN = "_broken"


@dataclass(frozen=True)
class Records:
    """What was read, and from which of our columns each row's presence has to be proven by the data."""

    frame: DataFrame
    present: Mapping[str, tuple[str, ...]]


def read_files(spark: SparkSession, name: str, feed: Feed, files: Sequence[File], *, quote: int) -> Records:
    """Reads files of one feed that are alike.

    Args:
        spark: The session.
        name: The feed.
        feed: Its mapping, one of its groups.
        files: At least one.
        quote: Characters of a refused record that its reason quotes.

    Raises:
        DataError: A file with a header or a schema lacks a column, has no header, or one twice.
    """
    if feed.format == "jsonl":
        return Records(_json_lines(spark, name, feed, files, quote=quote), needed(name, feed))
    if feed.format == "csv":
        return Records(_csv(spark, name, feed, files, quote), {})
    return Records(_typed(spark, name, feed, files), {})


def _json_lines(spark: SparkSession, name: str, feed: Feed, files: Sequence[File], *, quote: int) -> DataFrame:
    line = F.col("value")
    # An object alone on its line has one closing brace at most before its end; whatever has more is parsed within
    # an array, which shows what follows the object.
    plain = F.instr(line, "}") == F.length(F.rtrim(line))
    wrapped = F.from_json(F.concat(F.lit("["), line, F.lit("]")), "array<map<string,string>>")
    strict = F.when((F.size(wrapped) == 1) & F.rtrim(line).endswith("}"), F.try_element_at(wrapped, F.lit(1)))
    parsed = F.when(plain, F.from_json(line, "map<string,string>")).otherwise(strict)
    lines = spark.read.text(paths(files)).select(
        "value", *_place(), F.when(F.is_valid_utf8(line), parsed).alias("_fields")
    )
    fields = F.col("_fields")
    # No further key is the rule: look for them only where there are more than those that we take.
    taken = _taken(name, feed)
    count = sum((fields[key].isNotNull().cast("int") for key in taken), F.lit(0))
    rest = F.map_filter(fields, lambda key, value: ~key.isin(taken) & value.isNotNull())
    extra = F.when(F.size(fields) > count, rest)
    broken = F.when(F.is_valid_utf8(line), F.lit("malformed_json")).otherwise(F.lit("encoding"))
    blank = F.trim(line) == ""
    return lines.select(
        "_file",
        "_block",
        "_order",
        blank.alias("_blank"),
        F.when(~blank & fields.isNull(), _reason(broken, line, quote)).otherwise(_nothing()).alias("_reasons"),
        F.when(fields.isNull(), F.make_valid_utf8(line)).alias("_record"),
        *_mapped(
            name, feed, {theirs: _key(fields, theirs) for theirs in (*taken, *feed.only)}, read=fields.isNotNull()
        ),
        _map(extra).alias("extra"),
    )


def _key(fields: Column, path: str) -> Column:
    """A key's text, or that of a key within an object."""
    head, dot, rest = path.partition(".")
    if not dot:
        return fields[path]
    return F.coalesce(fields[path], F.get_json_object(fields[head], f"$.{rest}"))


def _csv(spark: SparkSession, name: str, feed: Feed, files: Sequence[File], quote: int) -> DataFrame:
    by_header: dict[tuple[str, ...], list[File]] = {}
    for file, header in _headers(spark, name, feed, files).items():
        by_header.setdefault(header, []).append(file)
    frames = []
    for header, same in sorted(by_header.items()):
        names = [f"c{number}" for number in range(len(header))]
        schema = T.StructType([T.StructField(column, T.StringType()) for column in (*names, _BROKEN)])
        rows = spark.read.csv(
            paths(same),
            schema=schema,
            sep=feed.separator,
            header=not feed.header,
            enforceSchema=True,
            escape='"',
            multiLine=feed.multi_line,
            mode="PERMISSIVE",
            columnNameOfCorruptRecord=_BROKEN,
        )
        # The decoder puts U+FFFD for bytes that are not UTF-8. All columns are looked at, so none is pruned.
        garbled = F.concat_ws("", *names).contains("\ufffd")
        broken = F.when(F.col(_BROKEN).isNotNull(), F.lit("malformed_csv")).when(garbled, F.lit("encoding"))
        line = F.coalesce(F.col(_BROKEN), F.concat_ws(feed.separator, *names))
        theirs = {column: F.col(position) for column, position in zip(header, names, strict=True)}
        frames.append(
            rows.select(*names, _BROKEN, *_place()).select(
                "_file",
                "_block",
                "_order",
                F.lit(False).alias("_blank"),
                F.when(broken.isNotNull(), _reason(broken, line, quote)).otherwise(_nothing()).alias("_reasons"),
                F.when(broken.isNotNull(), line).alias("_record"),
                *_mapped(name, feed, theirs, read=broken.isNull()),
                _extra(name, feed, theirs),
            )
        )
    return together(frames)


def _headers(spark: SparkSession, name: str, feed: Feed, files: Sequence[File]) -> dict[File, tuple[str, ...]]:
    """Each file's own header, checked; read in one pass over the lines, unless the mapping has it."""
    if feed.header:
        _check_header(name, feed, files[0], feed.header)
        return dict.fromkeys(files, feed.header)
    lines = spark.read.text(paths(files)).select("value", *_place())
    first = F.min_by("value", F.struct("_block", "_order"))
    found = {plain(row[0]): row[1] for row in lines.groupBy("_file").agg(first).collect()}
    headers = {}
    for file in files:
        line = found.get(file.path, "").removeprefix("\ufeff")
        try:
            header = tuple(next(csv.reader([line], delimiter=feed.separator), []))
        except csv.Error as error:
            raise DataError(f"feed {name}: file {file.name}: its header: {error}", fix="Land it again.") from None
        if not line.strip():
            raise DataError(f"feed {name}: file {file.name} is empty", fix="Land it again, with a header at least.")
        _check_header(name, feed, file, header)
        headers[file] = header
    return headers


def _check_header(name: str, feed: Feed, file: File, header: tuple[str, ...]) -> None:
    twice = sorted({column for column in header if header.count(column) > 1})
    if twice:
        raise DataError(f"feed {name}: file {file.name}: column {twice[0]!r} is there twice", fix="Rename one.")
    if any(letter in column for column in header for letter in "\ufffd\x00"):
        raise DataError(f"feed {name}: file {file.name} is not written in UTF-8", fix="Convert it, and land it again.")
    _check_columns(name, feed, file, header)


def _typed(spark: SparkSession, name: str, feed: Feed, files: Sequence[File]) -> DataFrame:
    """Files that know their columns: Parquet, Avro, and those of a Delta table as it stands."""
    by_schema: dict[str, list[File]] = {}
    for file in files:
        with explained(name, file.name):
            schema = _open(spark, feed, [file]).schema
        _check_columns(name, feed, file, [path for path, _ in _leaves(schema)])
        by_schema.setdefault(schema.json(), []).append(file)
    frames = []
    for _, same in sorted(by_schema.items()):
        rows = _open(spark, feed, same)
        theirs = {path: text_of(F.col(called), field) for path, (called, field) in _leaves(rows.schema)}
        # Only Parquet files number their rows themselves.
        row = (F.lit(0).cast("long").alias("_block"), F.col("_metadata.row_index").alias("_order"))
        place = (_place()[0], *row) if feed.format == "parquet" else _place()
        frames.append(
            rows.select(
                *place,
                F.lit(False).alias("_blank"),
                _nothing().alias("_reasons"),
                F.lit(None).cast("string").alias("_record"),
                *_mapped(name, feed, theirs, read=F.lit(True)),
                _extra(name, feed, {field.name: theirs[field.name] for field in rows.schema.fields}),
            )
        )
    return together(frames)


def _open(spark: SparkSession, feed: Feed, files: Sequence[File]) -> DataFrame:
    if feed.format == "delta":
        table = spark.read.format("delta").load(files[0].table)
        return table.where(F.col("_metadata.file_path").isin([file.uri for file in files]))
    return spark.read.format(feed.format).load(paths(files))


def _leaves(schema: T.StructType) -> Iterable[tuple[str, tuple[str, T.StructField]]]:
    """Each column's name, and the path of each within another, to how Spark calls it and what it is."""
    for field in schema.fields:
        name = quoted(field.name)
        yield field.name, (name, field)
        if isinstance(field.dataType, T.StructType):
            for path, (inner, leaf) in _leaves(field.dataType):
                yield f"{field.name}.{path}", (f"{name}.{inner}", leaf)


def quoted(name: str) -> str:
    """A column's name as Spark takes it, whatever is in it."""
    return f"`{name.replace('`', '``')}`"


def text_of(column: Column, field: T.StructField) -> Column:
    """A typed column as the string that bronze keeps."""
    if isinstance(field.dataType, T.TimestampType):
        # An instant: in UTC, and saying so, whatever the mapping's time zone.
        return F.date_format(column, "yyyy-MM-dd'T'HH:mm:ss.SSSSSS'Z'")
    if isinstance(field.dataType, T.ArrayType | T.MapType | T.StructType):
        return F.to_json(column)
    return column.cast("string")


def _nothing() -> Column:
    return F.array().cast("array<string>")


def _place() -> tuple[Column, Column, Column]:
    return (
        F.col("_metadata.file_path").alias("_file"),
        F.col("_metadata.file_block_start").alias("_block"),
        F.monotonically_increasing_id().alias("_order"),
    )


def _reason(code: Column, line: Column, quote: int) -> Column:
    return F.array(F.concat(code, F.lit(":"), F.left(F.make_valid_utf8(line), F.lit(quote))))


def together(frames: Sequence[DataFrame]) -> DataFrame:
    """All their rows."""
    return reduce(DataFrame.unionByName, frames)


def _mapped(name: str, feed: Feed, theirs: Mapping[str, Column], *, read: Column) -> list[Column]:
    """Our columns, and `_other` and `_asked`: whether a record that could be read is another feed's."""
    there = {column: F.nullif(F.trim(theirs[column]), F.lit("")) for column in feed.only}
    wanted = [
        there[column].isNotNull() if words == (ANY,) else F.coalesce(there[column].isin(*words), F.lit(False))
        for column, words in feed.only.items()
    ]
    ours = reduce(Column.__and__, wanted, F.lit(True))
    asked = reduce(Column.__and__, (column.isNotNull() for column in there.values()), F.lit(True))
    columns = [(read & ~ours).alias("_other"), (read & asked).alias("_asked")]
    for name_here in FEEDS[name]:
        parts = [theirs.get(column, F.lit(None).cast("string")) for column in feed.source_columns(name_here)]
        column = _joined(parts) if parts else F.lit(_constant(name_here, feed))
        columns.append(column.cast("string").alias(name_here))
    return columns


def _constant(name: str, feed: Feed) -> str | None:
    """A constant; POSITION, until records are numbered, for what is their place."""
    return feed.constants.get(name, POSITION if feed.columns.get(name) == (POSITION,) else None)


def _joined(parts: Sequence[Column]) -> Column:
    """One column as it is; of several one text that no others make, null where one is."""
    if len(parts) == 1:
        return parts[0]
    plainly = [F.regexp_replace(part.cast("string"), r"([\\|])", r"\\$1") for part in parts]
    between = [text for part in plainly for text in (F.lit("|"), part)]
    return F.concat(*between[1:])


def _taken(name: str, feed: Feed) -> list[str]:
    """The source's columns that a column of ours is made of."""
    return sorted({column for theirs in claimed(name, feed).values() for column in theirs})


def _extra(name: str, feed: Feed, theirs: Mapping[str, Column]) -> Column:
    taken = _taken(name, feed)
    rest = [part for key, column in theirs.items() if key not in taken for part in (F.lit(key), column)]
    if not rest:
        return _map(F.lit(None)).alias("extra")
    return _map(F.map_filter(F.create_map(*rest), lambda _, value: value.isNotNull())).alias("extra")


def _map(column: Column) -> Column:
    kind = "map<string,string>"
    return F.coalesce(column.cast(kind), F.create_map().cast(kind))


def _check_columns(name: str, feed: Feed, file: File, there: Sequence[str]) -> None:
    asked = {ours: theirs for ours, theirs in claimed(name, feed).items() if ours in feed.columns}
    for ours, theirs in {**asked, **needed(name, feed)}.items():
        for column in theirs:
            if column not in there:
                raise DataError(
                    f"feed {name}: file {file.name} has no column {column!r}, mapped to {ours}",
                    fix=nearest(column, there),
                )
    for column in feed.only:
        if column not in there:
            raise DataError(
                f"feed {name}: file {file.name} has no column {column!r}, in only", fix=nearest(column, there)
            )
