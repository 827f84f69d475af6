"""The mapping of one source: where each feed lies, its format, and how its columns are called.

One YAML file a source, `conf/sources/<source>.yaml`:

    source: shop
    feeds:
      clicks:
        path: clicks/*.jsonl        # below the landing folder; * as in a shell
        format: jsonl               # csv | jsonl | parquet; .gz is fine for the first two
        columns: {event_id: id}     # ours: theirs; a column that is not listed maps to ours of the same name
        constants: {channel: web}   # ours: one value, or null for a column to leave out
        values: {event_type: {pageview: view}}    # ours: {theirs: ours}; "" says that there is nothing
        time_format: iso            # iso | epoch_s | epoch_ms | a pattern such as dd.MM.yyyy HH:mm
        time_zone: UTC              # of times that name none
        arrival_lag_minutes: null   # without a column arrived_at: how long after the event it was known
        separator: ","              # csv
        multi_line: false           # csv: true if quoted values contain line breaks
    none: [offer_products]          # feeds that this source does not have
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal
from zoneinfo import ZoneInfo

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from offerlake.config import conf_dir
from offerlake.errors import ConfigError
from offerlake.schemas.bronze import FEEDS

REQUIRED: dict[str, tuple[str, ...]] = {
    "clicks": ("event_id", "event_time", "event_type"),
    "orders": ("order_id", "line_id", "user_id", "product_id", "order_time", "quantity"),
    "products": ("product_id",),
    "users": ("user_id",),
    "offers": ("offer_id", "kind", "scope", "valid_from", "valid_to"),
    "offer_products": ("offer_id", "product_id"),
    "exposures": ("exposure_id", "user_id", "shown_at", "policy"),
    "redemptions": ("redemption_id", "user_id", "offer_id", "redeemed_at"),
}
"""Columns without which no row of a feed can be used: each comes from the source or is a constant."""

EVENTS = ("clicks", "orders", "exposures", "redemptions")
"""Feeds whose rows happen at a time: they need `arrived_at` or a lag."""

_PATTERN_LETTERS = "GyDMLdQqEFahKkHmsSVzOXxZ"  # of Spark's datetime patterns

NEVER_NONE = ("users", "offers")
"""Feeds without which there is nothing to assign."""


class Feed(BaseModel):
    """How one feed maps."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    path: str
    format: Literal["csv", "jsonl", "parquet"]
    columns: dict[str, str] = {}
    constants: dict[str, str | None] = {}
    values: dict[str, dict[str, str]] = {}
    time_format: str = "iso"
    time_zone: str = "UTC"
    arrival_lag_minutes: Annotated[int, Field(ge=0)] | None = None
    separator: Annotated[str, Field(min_length=1, max_length=1)] = ","
    multi_line: bool = False

    @field_validator("constants", mode="before")
    @classmethod
    def _as_text(cls, constants: Any) -> Any:
        if not isinstance(constants, dict):
            return constants
        return {name: None if value is None else str(value) for name, value in constants.items()}

    @field_validator("time_format")
    @classmethod
    def _known_format(cls, form: str) -> str:
        strange = sorted(set(re.findall(r"[A-Za-z]", re.sub(r"'[^']*'", "", form))) - set(_PATTERN_LETTERS))
        if form not in ("iso", "epoch_s", "epoch_ms") and strange:
            raise ValueError(f"iso, epoch_s, epoch_ms or a pattern such as dd.MM.yyyy HH:mm:ss; not with {strange[0]}")
        return form

    @field_validator("time_zone")
    @classmethod
    def _known_zone(cls, zone: str) -> str:
        try:
            ZoneInfo(zone)
        except (KeyError, ValueError, OSError):
            raise ValueError("give a time zone such as UTC or Europe/Berlin") from None
        return zone

    def source_column(self, ours: str) -> str | None:
        """Name in the source of one of our columns; None where it is a constant."""
        return None if ours in self.constants else self.columns.get(ours, ours)


class Source(BaseModel):
    """How all feeds of one source map."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    source: str
    feeds: dict[str, Feed]
    none: tuple[str, ...] = ()

    def feed(self, name: str) -> Feed:
        """A feed's mapping; an empty one for a feed that there is none of."""
        return self.feeds[name] if name in self.feeds else Feed(path="", format="jsonl")


def load_source(name: str) -> Source:
    """Reads `conf/sources/<name>.yaml`, or a file by its path.

    Raises:
        ConfigError: The file cannot be read, or says what no mapping can say.
    """
    path = source_file(name)
    try:
        tree = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        there = sorted(file.stem for file in (conf_dir() / "sources").glob("*.yaml"))
        raise ConfigError(
            f"run.source: {name!r}: {error.strerror}", fix=f"Give a YAML file, or one of {', '.join(there)}."
        ) from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ConfigError(f"mapping {path}: not YAML: {error}", fix="Mend the line it names.") from None
    return parse_source(tree, where=path.name)


def source_file(name: str) -> Path:
    """Where a mapping lies: in `conf/sources`, or the path itself."""
    named = conf_dir() / "sources" / f"{name}.yaml"
    return named if named.is_file() else Path(name)


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
    _known(tree, Source.model_fields, where=where, what="key")
    feeds = tree.get("feeds")
    if not isinstance(feeds, dict):
        raise ConfigError(f"mapping {where}: feeds: got {feeds!r}", fix="Write feeds: {clicks: {path: …}, …}.")
    _known(feeds, FEEDS, where=f"{where}: feeds", what="feed")
    for name, feed in feeds.items():
        if isinstance(feed, dict):
            _known(feed, Feed.model_fields, where=f"{where}: {name}", what="key")
    try:
        source = Source.model_validate(tree)
    except ValidationError as error:
        first = error.errors()[0]
        at = ".".join(str(part) for part in first["loc"])
        raise ConfigError(f"mapping {where}: {at}: got {first['input']!r}", fix=f"{first['msg']}.") from None
    _check_feeds(source, where=where)
    for name, mapped in source.feeds.items():
        _check_columns(name, mapped, where=f"{where}: {name}")
    return source


def _check_feeds(source: Source, *, where: str) -> None:
    _known(source.none, FEEDS, where=f"{where}: none", what="feed")
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


def _check_columns(name: str, feed: Feed, *, where: str) -> None:
    for part in ("columns", "constants", "values"):
        _known(getattr(feed, part), FEEDS[name], where=f"{where}.{part}", what="column")
    for ours in feed.columns:
        if ours in feed.constants:
            raise ConfigError(f"mapping {where}: {ours} is in columns and in constants", fix="Keep one of them.")
    for ours in REQUIRED[name]:
        if ours in feed.constants and feed.constants[ours] is None:
            raise ConfigError(f"mapping {where}.constants: {ours}: got null", fix=f"{name} needs {ours}.")
    if name in EVENTS and feed.arrival_lag_minutes is None and feed.constants.get("arrived_at", "") is None:
        raise ConfigError(f"mapping {where}: no arrived_at", fix="Map a column to it, or give arrival_lag_minutes.")


def _known(keys: Iterable[Any], right: Iterable[str], *, where: str, what: str) -> None:
    names = list(right)
    for key in keys:
        if key not in names:
            raise ConfigError(f"mapping {where}: unknown {what} {key!r}", fix=nearest(str(key), names))


def nearest(name: str, names: Iterable[str]) -> str:
    """A sentence that names the nearest right name, or all of them."""
    there = list(names)
    near = difflib.get_close_matches(name.lower(), there, n=1)
    return f"Did you mean {near[0]}?" if near else f"There are {', '.join(there)}."


def claimed(name: str, feed: Feed) -> Mapping[str, str]:
    """Our column to the source's, for all of a feed's columns that are no constants."""
    pairs = ((ours, feed.source_column(ours)) for ours in FEEDS[name])
    return {ours: theirs for ours, theirs in pairs if theirs is not None}


def needed(name: str, feed: Feed) -> Mapping[str, str]:
    """The part of `claimed` that no row can do without."""
    must = REQUIRED[name]
    if name in EVENTS and feed.arrival_lag_minutes is None:
        must = (*must, "arrived_at")
    return {ours: theirs for ours, theirs in claimed(name, feed).items() if ours in must}
