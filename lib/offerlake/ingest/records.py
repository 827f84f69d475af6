"""A record's text or columns as a row of bronze to be: what all readers share, of files and of messages.

What a reader gives (`Records.frame`), one row a record:

* `_file`: URI of its file; `_block`: offset of the split it was read in; `_order`: rises with the place within a split.
  Of a message instead `source` and `source_position`
* `_blank`: true for an empty line, which counts as a line but not as a record
* `_other`: true for a record that the mapping leaves to another feed; it counts as a line, and apart
* `_asked`: true for a record with something in all columns by which the mapping tells feeds apart
* `_reasons`: array of strings, empty where the record can be read
* `_record`: the raw text where it cannot
* `_kinds`: map of the source's columns to what each is, where that is known by looking into the record only
* the feed's bronze columns and `extra`
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import reduce

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F
from pyspark.sql import types as T

from offerlake.ingest.mapping import ANY, POSITION, Feed, claimed
from offerlake.schemas.bronze import FEEDS

Kinds = Mapping[tuple[str, str], str]
"""A column of the source and its type there, to the first source it was seen in."""

_LOOKED_AT = 1000  # records of each task whose values' kinds are looked at; beyond them one in a hundred is
MOST_COLUMNS = 1000
"""Columns of a source that are kept track of; further ones are kept in `extra` alone."""

_KINDS = {
    "STRING": "string", "BOOLEAN": "boolean", "OBJECT": "object", "ARRAY": "array", "BIGINT": "number",
    "DECIMAL": "number", "DOUBLE": "number", "FLOAT": "number",
}  # fmt: skip


@dataclass(frozen=True)
class Records:
    """What was read.

    Attributes:
        frame: One row a record, see above.
        present: Our columns whose presence has to be proven by the data, to the source's.
        kinds: The source's columns, where files or schemas say them.
    """

    frame: DataFrame
    present: Mapping[str, tuple[str, ...]]
    kinds: Kinds


def json_records(lines: DataFrame, name: str, feed: Feed, *, quote: int, seen: Collection[str]) -> DataFrame:
    """Reads records that are one JSON object each.

    Args:
        lines: `value`, the text, beside what tells its place.
        name: The feed.
        feed: Its mapping.
        quote: Characters of a refused record that its reason quotes.
        seen: The source's columns that are known: a record with another is always looked at for what it is.
    """
    place = [column for column in lines.columns if column != "value"]
    line = F.col("value")
    # An object alone on its line has one closing brace at most before its end; whatever has more is parsed within
    # an array, which shows what follows the object.
    plain = F.instr(line, "}") == F.length(F.rtrim(line))
    wrapped = F.from_json(F.concat(F.lit("["), line, F.lit("]")), "array<map<string,string>>")
    strict = F.when((F.size(wrapped) == 1) & F.rtrim(line).endswith("}"), F.try_element_at(wrapped, F.lit(1)))
    parsed = F.when(plain, F.from_json(line, "map<string,string>")).otherwise(strict)
    parts = lines.select("value", *place, F.when(F.is_valid_utf8(line), parsed).alias("_fields"))
    fields = F.col("_fields")
    # No further key is the rule: look for them only where there are more than those that we take.
    taken = _taken(name, feed)
    count = sum((fields[key].isNotNull().cast("int") for key in taken), F.lit(0))
    rest = F.map_filter(fields, lambda key, value: ~key.isin(taken) & value.isNotNull())
    extra = F.when(F.size(fields) > count, rest)
    broken = F.when(F.is_valid_utf8(line), F.lit("malformed_json")).otherwise(F.lit("encoding"))
    blank = F.col("_blank") if "_blank" in place else F.trim(line) == ""
    return parts.select(
        *(column for column in place if column != "_blank"),
        blank.alias("_blank"),
        F.when(~blank & fields.isNull(), refusal(broken, line, quote)).otherwise(nothing()).alias("_reasons"),
        F.when(fields.isNull(), F.make_valid_utf8(line)).alias("_record"),
        _kinds(line, fields, extra, seen).alias("_kinds"),
        *mapped(name, feed, {theirs: _key(fields, theirs) for theirs in (*taken, *feed.only)}, read=fields.isNotNull()),
        as_map(extra).alias("extra"),
    )


def _kinds(line: Column, fields: Column, extra: Column, seen: Collection[str]) -> Column:
    """What the values of a record are, of some records: the text kept of them does not tell "1" from 1."""
    number = F.monotonically_increasing_id().bitwiseAND(F.lit((1 << 33) - 1))  # in its task
    some = (number < _LOOKED_AT) | (F.pmod(F.xxhash64(line), F.lit(100)) == 0)
    if len(seen) < MOST_COLUMNS:
        # Spark interprets `exists` and all within it: only where there is something to look through.
        unseen = F.when(extra.isNotNull(), F.exists(F.map_keys(extra), lambda key: ~key.isin([*seen])))
        some = some | F.coalesce(unseen, F.lit(False))
    whole = F.from_json(line, "map<string,variant>")
    kinds = F.transform_values(whole, lambda _, value: F.regexp_substr(F.schema_of_variant(value), F.lit("^[A-Z]+")))
    return F.when(fields.isNotNull() & some, kinds)


def first_keys(lines: DataFrame) -> set[str]:
    """Keys of the first records: in a feed's first batch only records with further ones are looked into beside some.

    Args:
        lines: `value`, one JSON object each.
    """
    keys = F.explode(F.map_keys(F.from_json("value", "map<string,string>")))
    return {row[0] for row in lines.limit(_LOOKED_AT).select(keys).distinct().limit(MOST_COLUMNS).collect()}


def kinds_seen(held: DataFrame, source: Column, names: Mapping[str, str]) -> Kinds:
    """What the records that were looked at have: a row a column and kind comes to the driver, `MOST_COLUMNS` at most.

    Args:
        held: Records as read.
        source: Their source.
        names: That column's values to how sources are called; one that is not there is its own name.
    """
    pairs = held.where(F.col("_kinds").isNotNull()).select(source.alias("_source"), F.explode("_kinds"))
    rows = pairs.groupBy("key", "value").agg(F.min("_source").alias("source")).orderBy("key", "value")
    found: dict[tuple[str, str], str] = {}
    for row in rows.limit(MOST_COLUMNS).collect():
        if kind := _KINDS.get(row["value"]):
            found.setdefault((row["key"], kind), names.get(row["source"], row["source"]))
    return found


def _key(fields: Column, path: str) -> Column:
    """A key's text, or that of a key within an object."""
    head, dot, rest = path.partition(".")
    if not dot:
        return fields[path]
    return F.coalesce(fields[path], F.get_json_object(fields[head], f"$.{rest}"))


def leaves(schema: T.StructType) -> Iterable[tuple[str, tuple[str, T.StructField]]]:
    """Each column's name, and the path of each within another, to how Spark calls it and what it is."""
    for field in schema.fields:
        name = quoted(field.name)
        yield field.name, (name, field)
        if isinstance(field.dataType, T.StructType):
            for path, (inner, leaf) in leaves(field.dataType):
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


def nothing() -> Column:
    """No reasons."""
    return F.array().cast("array<string>")


def no_kinds() -> Column:
    """Of records that need not be looked into for what their values are."""
    return F.lit(None).cast("map<string,string>").alias("_kinds")


def refusal(code: Column, line: Column, quote: int) -> Column:
    """The reasons of a record that cannot be read."""
    return F.array(F.concat(code, F.lit(":"), F.left(F.make_valid_utf8(line), F.lit(quote))))


def together(frames: Sequence[DataFrame]) -> DataFrame:
    """All their rows."""
    return reduce(DataFrame.unionByName, frames)


def mapped(name: str, feed: Feed, theirs: Mapping[str, Column], *, read: Column) -> list[Column]:
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


def extra_of(name: str, feed: Feed, theirs: Mapping[str, Column]) -> Column:
    """`extra`, of the source's columns by name: those that no column of ours is made of."""
    taken = _taken(name, feed)
    rest = [part for key, column in theirs.items() if key not in taken for part in (F.lit(key), column)]
    if not rest:
        return as_map(F.lit(None)).alias("extra")
    return as_map(F.map_filter(F.create_map(*rest), lambda _, value: value.isNotNull())).alias("extra")


def as_map(column: Column) -> Column:
    """A map of strings, empty for null."""
    kind = "map<string,string>"
    return F.coalesce(column.cast(kind), F.create_map().cast(kind))
