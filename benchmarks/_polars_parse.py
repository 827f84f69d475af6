"""Raw strings to typed columns in Polars, each with what is wrong with it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import polars as pl

ORIGIN = ("source", "source_position", "loaded_at")
SCALE = 10_000
"""Money is an integer of ten-thousandths: exact."""
_ISO = "%Y-%m-%dT%H:%M:%S%.fZ"

Check = tuple[pl.Expr, str, pl.Expr | None]
"""Where something is wrong, over raw and typed columns; code and column; a value to tell, if any."""


@dataclass(frozen=True)
class Cell:
    """One typed column.

    Attributes:
        name: Its name.
        value: The typed value, out of raw columns.
        checks: What may be wrong with it: the first that is true is told.
    """

    name: str
    value: pl.Expr
    checks: tuple[Check, ...] = ()

    def refuse(self, code: str, wrong: pl.Expr, shown: pl.Expr | None = None) -> Cell:
        """Adds a check; `shown` is told instead of the raw value."""
        told = raw(self.name) if shown is None else shown
        return Cell(self.name, self.value, (*self.checks, (wrong, f"{code}:{self.name}", told)))

    def required(self) -> Cell:
        """Refuses what has nothing here."""
        missing = (pl.col(self.name).is_null(), f"missing:{self.name}", None)
        return Cell(self.name, self.value, (*self.checks, missing))

    def within(self, low: float, high: float) -> Cell:
        """Refuses what is out of range."""
        return self.refuse("range", ~pl.col(self.name).is_between(low, high))


def raw(name: str) -> pl.Expr:
    """A column as it came."""
    return pl.col(f"raw_{name}")


def said(name: str) -> pl.Expr:
    """What a raw column says; an empty text says nothing."""
    stripped = raw(name).str.strip_chars(" ")
    return pl.when(stripped != "").then(stripped)


def text(name: str, default: str | None = None) -> Cell:
    """Any text; an empty one is none."""
    return Cell(name, said(name) if default is None else said(name).fill_null(default))


def _parsed(name: str, value: pl.Expr) -> Cell:
    return Cell(name, value).refuse("unparsable", pl.col(name).is_null() & said(name).is_not_null())


def instant(name: str) -> Cell:
    """A time in UTC."""
    return _parsed(name, said(name).str.to_datetime(_ISO, strict=False, time_unit="us", time_zone="UTC"))


def number(name: str, low: float, high: float) -> Cell:
    """Any number."""
    return _parsed(name, said(name).cast(pl.Float64, strict=False)).within(low, high)


def whole(name: str, low: float, high: float) -> Cell:
    """A whole number; 3.0 is one."""
    value = said(name).cast(pl.Float64, strict=False)
    return _parsed(name, pl.when(value == value.floor()).then(value).cast(pl.Int32, strict=False)).within(low, high)


def money(name: str, low: float, high: float) -> Cell:
    """An amount."""
    value = (said(name).cast(pl.Float64, strict=False) * SCALE).round(mode="half_away_from_zero")
    return _parsed(name, value.cast(pl.Int64, strict=False)).within(low * SCALE, high * SCALE)


def amount(name: str, low: float, high: float) -> Cell:
    """Likewise, but judged by what the text says: the column may be worked out from others."""
    value = money(name, low, high).value
    unread = value.is_null() & said(name).is_not_null()
    return Cell(name, value).refuse("unparsable", unread).refuse("range", ~value.is_between(low * SCALE, high * SCALE))


def boolean(name: str) -> Cell:
    """True or false, in words."""
    yes, no = ["true", "t", "yes", "y", "1"], ["false", "f", "no", "n", "0"]
    word = said(name).str.to_lowercase()
    return _parsed(name, pl.when(word.is_in(yes)).then(True).when(word.is_in(no)).then(False))


def choice(name: str, words: Sequence[str], ours: Mapping[str, str] | None = None) -> Cell:
    """One of our words; the source's are translated."""
    value = said(name).replace(ours) if ours else said(name)
    return Cell(name, value).required().refuse("unknown", ~pl.col(name).is_in(words))


def arrival(happened: str, skew_minutes: int) -> Cell:
    """When an event was known: not long before it happened, which was not long after it was loaded either."""
    loaded = pl.col("loaded_at").dt.replace_time_zone("UTC")
    early = pl.col(happened) > pl.min_horizontal("arrived_at", loaded) + pl.duration(minutes=skew_minutes)
    return instant("arrived_at").required().refuse("clock_skew", early, raw(happened))


def typed(
    files: str, cells: Sequence[Cell], checks: Sequence[Check] = (), *, quote: int
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Types a feed's records in one pass over the files.

    Args:
        files: Of the raw table.
        cells: The columns; those that are worked out of other typed ones come later.
        checks: Further ones, over several columns.
        quote: Characters of a raw value that a reason tells.

    Returns:
        The good records, and the refused ones with their reasons.
    """
    scanned = pl.scan_parquet(files)
    names = [name for name in scanned.collect_schema().names() if name not in (*ORIGIN, "extra")]
    read = scanned.rename({name: f"raw_{name}" for name in names})
    parts = [*[cell.checks for cell in cells if cell.checks], *[(check,) for check in checks]]
    wrong = pl.any_horizontal(where for part in parts for where, _, _ in part).fill_null(value=False)
    told = read.with_columns(cell.value.alias(cell.name) for cell in cells).with_columns(wrong.alias("wrong"))
    good = told.filter(~pl.col("wrong")).select(*[cell.name for cell in cells], *ORIGIN)
    bad = told.filter("wrong").select(
        pl.concat_list(_reason(part, quote) for part in parts).list.drop_nulls().alias("reasons"),
        pl.struct(*[raw(name).alias(name) for name in names]).struct.json_encode().alias("record"),
        *ORIGIN,
    )
    kept, refused = pl.collect_all([good, bad], engine="streaming")
    return kept, refused


def _reason(part: Sequence[Check], quote: int) -> pl.Expr:
    """The first of some checks that is true, in words; else null."""
    return pl.coalesce(pl.when(where).then(because(what, shown, quote)) for where, what, shown in part)


def because(what: str, shown: pl.Expr | None, quote: int) -> pl.Expr:
    """A reason, with the value cut."""
    if shown is None:
        return pl.lit(what)
    value = shown.cast(pl.String).fill_null("null").str.slice(0, quote)
    return pl.concat_str(pl.lit(f"{what}='"), value, pl.lit("'"))
