"""The mapping of one source: where each feed lies, its format, and how its columns are called.

One YAML file a source, `conf/sources/<source>.yaml`; docs/sources.md shows typical ones:

    source: shop
    feeds:
      clicks:
        path: clicks/*.jsonl        # below the landing folder; * as in a shell; of delta the table's folder
        format: jsonl               # csv | jsonl | parquet | avro | delta; .gz, .zst, .bz2 are fine for the first two
        columns: {event_id: id}     # ours: theirs; one that is not listed maps to theirs of the same name
        constants: {channel: web}   # ours: one value, or null for a column to leave out
        only: {kind: [view, cart]}  # theirs: words ("*": any); a record with another there is another feed's
        values: {event_type: {pageview: view}}    # ours: {theirs: ours}; "" says that there is nothing
        time_format: iso            # iso | epoch_s | epoch_ms | a pattern such as dd.MM.yyyy HH:mm, or a list of them
        time_zone: UTC              # of times that name none
        decimal: "."                # csv: or ",": then 1.234,5 is a number
        arrival_lag_minutes: null   # without a column arrived_at: how long after the event it was known
        separator: ","              # csv
        header: []                  # csv without a header line: its columns' names
        multi_line: false           # csv: true if quoted values contain line breaks
        parts: []                   # several kinds of files, each with its own path, format, columns, constants, …
      orders:
        topic: shop.orders          # instead of a path: messages of a Kafka topic, each a record
        format: avro                # jsonl | avro
        avsc: orders.avsc           # avro: the schema's file, beside the mapping; {7: v1.avsc, 9: v2.avsc} by the id
                                    # that the five bytes before each message name
    none: [identities]              # feeds that this source does not have

Theirs is a column's name; a path such as `user.id` into a nested one; a list of names, whose values are joined by |
(an id of several columns; null where one of them is); or `_position`, the record's file and number in it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, field_validator

from offerlake.config import Zone
from offerlake.documents import check_known, named_file, read_named
from offerlake.errors import ConfigError
from offerlake.schemas.bronze import FEEDS

FOLDER = "sources"
"""Of `conf/`, for mappings."""

REQUIRED: dict[str, tuple[str, ...]] = {
    "clicks": ("event_id", "event_time", "event_type"),
    "orders": ("order_id", "line_id", "user_id", "product_id", "order_time", "quantity"),
    "products": ("product_id",),
    "users": ("user_id",),
    "identities": ("alias", "user_id"),
    "offers": ("offer_id", "kind", "scope", "valid_from", "valid_to"),
    "offer_products": ("offer_id", "product_id"),
    "exposures": ("exposure_id", "user_id", "shown_at", "policy"),
    "redemptions": ("redemption_id", "user_id", "offer_id", "redeemed_at"),
}
"""Columns without which no row of a feed can be used: each comes from the source or is a constant."""

EVENTS = ("clicks", "orders", "exposures", "redemptions")
"""Feeds whose rows happen at a time: they need `arrived_at` or a lag."""

_LETTERS = {
    "y": 4,
    "M": 4,
    "d": 2,
    "H": 2,
    "h": 2,
    "a": 1,
    "m": 2,
    "s": 2,
    "S": 9,
    "z": 1,
    "O": 1,
    "Z": 3,
    "X": 5,
    "x": 5,
}
_PATTERN = re.compile(
    "("
    + "|".join(f"{letter}{{1,{most}}}(?!{letter})" for letter, most in _LETTERS.items())
    + r"|VV(?!V)|'[^']*'|[^A-Za-z'#{}])+"
)
"""Spark's datetime patterns, as far as they can be read by."""

NEVER_NONE = ("users", "offers")
"""Feeds without which there is nothing to assign."""


POSITION = "_position"
"""Stands for a source's column: the record's file and its number there."""

NO_ID = -1
"""Stands for a schema's id: the messages name none."""

_OF_FILES = ("path", "format", "columns", "constants", "only", "separator", "header", "multi_line")
_Names = tuple[str, ...]


ANY = "*"
"""Stands for a word in `only`: any, but not nothing."""


def _listed(value: Any) -> Any:
    return tuple(str(each) for each in value) if isinstance(value, list | tuple) else (str(value),)


class Feed(BaseModel):
    """How one feed maps: how its files are read, and how values in them are written."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    path: str = ""
    topic: Annotated[str, Field(pattern=r"^[A-Za-z0-9._-]{0,249}$")] = ""
    avsc: dict[int, str] = {}
    format: Literal["csv", "jsonl", "parquet", "avro", "delta"] = "jsonl"
    columns: dict[str, Annotated[_Names, BeforeValidator(_listed), Field(min_length=1)]] = {}
    constants: dict[str, str | None] = {}
    only: dict[str, Annotated[_Names, BeforeValidator(_listed), Field(min_length=1)]] = {}
    values: dict[str, dict[str, str]] = {}
    time_format: Annotated[_Names, BeforeValidator(_listed), Field(min_length=1)] = ("iso",)
    time_zone: Zone = "UTC"
    decimal: Literal[".", ","] = "."
    arrival_lag_minutes: Annotated[int, Field(ge=0)] | None = None
    separator: Annotated[str, Field(min_length=1, max_length=1)] = ","
    header: _Names = ()
    multi_line: bool = False
    parts: tuple[dict[str, Any], ...] = ()

    @field_validator("avsc", mode="before")
    @classmethod
    def _by_id(cls, avsc: Any) -> Any:
        return {NO_ID: avsc} if isinstance(avsc, str) else avsc

    @field_validator("constants", mode="before")
    @classmethod
    def _as_text(cls, constants: Any) -> Any:
        if not isinstance(constants, dict):
            return constants
        return {name: None if value is None else str(value) for name, value in constants.items()}

    @field_validator("time_format")
    @classmethod
    def _known_format(cls, forms: _Names) -> _Names:
        for form in forms:
            if form not in ("iso", "epoch_s", "epoch_ms") and not _PATTERN.fullmatch(form):
                raise ValueError(f"iso, epoch_s, epoch_ms or a pattern such as dd.MM.yyyy HH:mm:ss; not {form!r}")
        return forms

    @cached_property
    def groups(self) -> tuple[Feed, ...]:
        """Each kind of files with its own reading: the parts, else the feed itself.

        A part's columns and constants come beside the feed's; what else it says replaces the feed's.
        """
        if not self.parts:
            return (self,)
        whole = {name: getattr(self, name) for name in Feed.model_fields if name != "parts"}
        groups = []
        for part in self.parts:
            Feed.model_validate(part)
            both = {**whole, **part}
            for name in ("columns", "constants"):
                own = part.get(name) or {}
                rest = {ours: value for ours, value in whole[name].items() if ours not in {**own, **_told(part)}}
                both[name] = {**rest, **own}
            groups.append(Feed.model_validate(both))
        return tuple(groups)

    @property
    def has_prices(self) -> bool:
        """Whether the source says what things were sold for: no, where a part leaves both out by a constant null."""
        left_out = [{ours for ours, value in group.constants.items() if value is None} for group in self.groups]
        return not any({"unit_price", "net_amount"} <= names for names in left_out)

    def source_columns(self, ours: str) -> _Names:
        """Names in the source of one of our columns; none where it is a constant or the record's position."""
        names = () if ours in self.constants else self.columns.get(ours, (ours,))
        return () if names == (POSITION,) else names


def _told(part: Mapping[str, Any]) -> dict[str, Any]:
    """Our columns that a part says something about, whether by a column or a constant."""
    return {**(part.get("columns") or {}), **(part.get("constants") or {})}


class Source(BaseModel):
    """How all feeds of one source map."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    source: str
    feeds: dict[str, Feed]
    none: tuple[str, ...] = ()

    def feed(self, name: str) -> Feed:
        """A feed's mapping; an empty one for a feed that there is none of."""
        return self.feeds.get(name, Feed())


def load_source(name: str) -> Source:
    """Reads `conf/sources/<name>.yaml`, or a file by its path.

    Raises:
        ConfigError: The file cannot be read, or says what no mapping can say.
    """
    path = named_file(FOLDER, name)
    tree = read_named(FOLDER, name, setting="run.source", what="mapping")
    return parse_source(_with_schemas(tree, path.parent), where=path.name)


def _with_schemas(tree: Any, folder: Path) -> Any:
    """The mapping with what the files of `avsc` hold in place of their names."""
    feeds = tree.get("feeds") if isinstance(tree, dict) else None
    if not isinstance(feeds, dict):
        return tree

    def read(name: str, file: Any) -> str:
        try:
            return (folder / str(file)).read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            said = error.strerror if isinstance(error, OSError) else "not UTF-8"
            raise ConfigError(
                f"mapping: {name}: avsc: {file}: {said}", fix="Put the schema's file beside the mapping."
            ) from None

    found = {}
    for name, feed in feeds.items():
        avsc = feed.get("avsc") if isinstance(feed, dict) else None
        if isinstance(avsc, dict):
            found[name] = {**feed, "avsc": {key: read(name, file) for key, file in avsc.items()}}
        else:
            found[name] = {**feed, "avsc": read(name, avsc)} if avsc is not None else feed
    return {**tree, "feeds": found}


def parse_source(tree: Any, *, where: str) -> Source:
    """Checks a mapping that has been read from YAML.

    Args:
        tree: What the YAML held.
        where: Its file's name, for messages.

    Raises:
        ConfigError: A key, feed or column is unknown (the nearest right one is named), a value is out of range,
            or a feed is neither mapped nor listed under `none`.
    """
    if not isinstance(tree, dict):
        raise ConfigError(f"mapping {where}: got {type(tree).__name__}", fix="Write source:, feeds: and none:.")
    check_known(tree, Source.model_fields, where=f"mapping {where}", what="key")
    feeds = tree.get("feeds")
    if not isinstance(feeds, dict):
        raise ConfigError(f"mapping {where}: feeds: got {feeds!r}", fix="Write feeds: {clicks: {path: …}, …}.")
    check_known(feeds, FEEDS, where=f"mapping {where}: feeds", what="feed")
    for name, feed in feeds.items():
        if isinstance(feed, dict):
            check_known(feed, Feed.model_fields, where=f"mapping {where}: {name}", what="key")
            _check_parts(feed, where=f"{where}: {name}")
    with _told_by_name(where):
        source = Source.model_validate(tree)
    _check_feeds(source, where=where)
    for name, mapped in source.feeds.items():
        _check_use(name, mapped, where=f"{where}: {name}")
        with _told_by_name(f"{where}: {name}: parts"):
            groups = mapped.groups
        for group in groups:
            _check_columns(name, group, where=f"{where}: {name}")
    return source


def _check_parts(feed: dict[str, Any], *, where: str) -> None:
    parts = feed.get("parts")
    for part in parts if isinstance(parts, list) else ():
        if not isinstance(part, dict):
            continue
        check_known(
            [key for key in part if key not in Feed.model_fields],
            _OF_FILES,
            where=f"mapping {where}: parts",
            what="key",
        )
        for key in part:
            if key not in _OF_FILES:
                raise ConfigError(
                    f"mapping {where}: parts: got {key}", fix=f"Give {key} to the feed, for all its parts."
                )
        if feed.get("path") or not part.get("path"):
            raise ConfigError(
                f"mapping {where}: path: of a part it is its own", fix="Give each part a path, the feed none."
            )


@contextmanager
def _told_by_name(where: str) -> Iterator[None]:
    try:
        yield
    except ValidationError as error:
        first = error.errors()[0]
        at = ".".join(str(part) for part in first["loc"])
        shown = repr(first["input"])[:80]
        raise ConfigError(f"mapping {where}: {at}: got {shown}", fix=f"{first['msg']}.") from None


def _check_feeds(source: Source, *, where: str) -> None:
    check_known(source.none, FEEDS, where=f"mapping {where}: none", what="feed")
    for name in FEEDS:
        if (name in source.feeds) == (name in source.none):
            raise ConfigError(
                f"mapping {where}: feed {name} is {'mapped and in none' if name in source.none else 'not mapped'}",
                fix="Map every feed once under feeds:, or list it under none: where there is no such data.",
            )
    for name in NEVER_NONE:
        if name in source.none:
            raise ConfigError(
                f"mapping {where}: none: got {name}", fix=f"Map {name}: without it nothing can be assigned."
            )


def _check_use(name: str, feed: Feed, *, where: str) -> None:
    """What would be read over in silence is refused."""
    formats = {group.get("format", feed.format) for group in feed.parts} or {feed.format}
    if feed.topic:
        _check_topic(feed, where=where)
    elif feed.avsc:
        raise ConfigError(f"mapping {where}: avsc: there is no topic", fix="Avro files have their schema within.")
    if feed.decimal == "," and formats != {"csv"}:
        raise ConfigError(
            f"mapping {where}: decimal: got ',' for {feed.format}", fix="Only CSV writes numbers by commas."
        )
    if name not in EVENTS and feed.arrival_lag_minutes is not None:
        raise ConfigError(f"mapping {where}: arrival_lag_minutes: {name} have none", fix="Map a column to arrived_at.")
    for key in ("header", "separator", "multi_line"):
        if key in feed.model_fields_set and "csv" not in formats:
            raise ConfigError(
                f"mapping {where}: {key}: {feed.format} has none", fix="Leave it out, or say format: csv."
            )


def _check_topic(feed: Feed, *, where: str) -> None:
    if feed.path or feed.parts:
        beside = "path" if feed.path else "parts"
        raise ConfigError(f"mapping {where}: topic: beside {beside}", fix="Records lie in files or in a topic.")
    if feed.format not in ("jsonl", "avro"):
        raise ConfigError(f"mapping {where}: format: got {feed.format} of a topic", fix="A message is jsonl or avro.")
    if bool(feed.avsc) != (feed.format == "avro"):
        raise ConfigError(
            f"mapping {where}: avsc: {'none for avro' if not feed.avsc else 'there for jsonl'}",
            fix="Name the schema's file where messages are Avro, and there only.",
        )
    for text in feed.avsc.values():
        try:
            schema = json.loads(text)
        except ValueError:
            schema = None
        if not isinstance(schema, dict) or schema.get("type") != "record" or not schema.get("fields"):
            raise ConfigError(
                f"mapping {where}: avsc: no schema of a record: {text[:80]!r}", fix="Give the file of an Avro record."
            )


def _check_columns(name: str, feed: Feed, *, where: str) -> None:
    if not (feed.path or feed.topic):
        raise ConfigError(
            f"mapping {where}: no path", fix="Write path: clicks/*.csv, or one in each of its parts; or topic: NAME."
        )
    for part in ("columns", "constants", "values"):
        check_known(getattr(feed, part), FEEDS[name], where=f"mapping {where}.{part}", what="column")
    for ours, theirs in feed.columns.items():
        if ours in feed.constants:
            raise ConfigError(f"mapping {where}: {ours} is in columns and in constants", fix="Keep one of them.")
        if POSITION in theirs and len(theirs) > 1:
            raise ConfigError(f"mapping {where}.columns: {ours}: got {POSITION} in a list", fix="Give it alone.")
        if POSITION in theirs and feed.format == "delta":
            raise ConfigError(
                f"mapping {where}.columns: {ours}: got {POSITION} for delta", fix="Its rows move when it is compacted."
            )
    for ours in REQUIRED[name]:
        if ours in feed.constants and feed.constants[ours] is None:
            raise ConfigError(f"mapping {where}.constants: {ours}: got null", fix=f"{name} needs {ours}.")
    if name in EVENTS and feed.arrival_lag_minutes is None and feed.constants.get("arrived_at", "") is None:
        raise ConfigError(f"mapping {where}: no arrived_at", fix="Map a column to it, or give arrival_lag_minutes.")


def claimed(name: str, feed: Feed) -> Mapping[str, tuple[str, ...]]:
    """Our column to the source's, for all of a feed's columns that the source has."""
    pairs = ((ours, feed.source_columns(ours)) for ours in FEEDS[name])
    return {ours: theirs for ours, theirs in pairs if theirs}


def needed(name: str, feed: Feed) -> Mapping[str, tuple[str, ...]]:
    """The part of `claimed` that no row can do without."""
    must = REQUIRED[name]
    if name in EVENTS and feed.arrival_lag_minutes is None:
        must = (*must, "arrived_at")
    return {ours: theirs for ours, theirs in claimed(name, feed).items() if ours in must}
