"""Bronze frames made of a few visible rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from pyspark.sql import DataFrame, SparkSession

from offerlake.clean.parse import Parser
from offerlake.clean.quarantine import Cleaned
from offerlake.clean.rules import Rules
from offerlake.config import CleanSettings, load_settings
from offerlake.schemas import table
from offerlake.schemas.bronze import FEEDS

LOADED = datetime(2025, 9, 3, tzinfo=UTC)


@dataclass(frozen=True)
class Said:
    """What a mapping says about how values are written."""

    time_format: Sequence[str] = ("iso",)
    time_zone: str = "UTC"
    decimal: str = "."
    has_prices: bool = True
    arrival_lag_minutes: int | None = None
    values: Mapping[str, Mapping[str, str]] = field(default_factory=dict)


def rules(settings: CleanSettings | None = None, said: Said | None = None, **more: Any) -> Rules:
    """By what a feed is judged: the default settings, values in our own way."""
    return Rules(settings or load_settings([], env={}).clean, said or Said(), **{"quote": 50, **more})


def parser(said: Said | None = None, quote: int = 6, **changes: Any) -> Parser:
    """Parses the columns of a feed; `changes` are of the settings of cleaning."""
    settings = load_settings([], env={}, given={f"clean.{name}": value for name, value in changes.items()}).clean
    return Parser(said or Said(), quote, settings)


def raw(
    spark: SparkSession,
    feed: str,
    rows: Sequence[Mapping[str, Any]],
    *,
    source: str = "file",
    loaded: datetime = LOADED,
) -> DataFrame:
    """Makes `raw_<feed>` of dicts: columns left out are null; positions run from 1."""
    made = [
        (*(row.get(name) for name in FEEDS[feed]), row.get("extra", {}), source, str(number), loaded, loaded.date())
        for number, row in enumerate(rows, start=1)
    ]
    return spark.createDataFrame(made, schema=table(f"raw_{feed}").struct)


def outcomes(cleaned: Cleaned) -> list[str]:
    """What became of each raw row, in order: good, duplicate, or the reasons' codes and columns."""
    rows = cleaned.decided.select("source_position", "_status", "_reasons").collect()
    assert len({row["source_position"] for row in rows}) == len(rows)
    return [
        row["_status"] if row["_status"] != "refused" else "+".join(reason.split("=")[0] for reason in row["_reasons"])
        for row in sorted(rows, key=lambda row: int(row["source_position"]))
    ]
