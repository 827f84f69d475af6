"""Raw strings to typed columns, each with what is wrong with it: a reason, or null.

A reason is a short code, the column and its value, cut: `unparsable:price='12,9x'`. Codes: missing, unparsable, range,
too_long, unknown (a word that is none of ours, or a currency without a rate), clock_skew, late.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from offerlake.clean.currency import Exchange, exchange
from offerlake.config import CleanSettings
from offerlake.schemas import MONEY
from offerlake.windows import MICROS_A_DAY

_LONGEST = 65_536  # bytes: no id, name or search is as long; what is, is another thing in the wrong column
_USUAL = (20, 24)  # bytes of 2025-01-06T12:00:00Z, and with milliseconds
_TEXT, _TYPED = "_text_", "_typed_"
_MINUTE = 60_000_000  # microseconds
_EPOCH_BEGIN = 100_000_000  # seconds: 1973; with a day as yyyyMMdd or milliseconds one does not come near
_EPOCH_END = 253_402_300_800  # seconds: 10000-01-01, beyond what a timestamp can say


class Reading(Protocol):
    """The part of a feed's mapping that says how its values are written."""

    @property
    def time_format(self) -> Sequence[str]:
        """Each iso, epoch_s, epoch_ms, or a pattern: the first that a text fits."""
        ...

    @property
    def time_zone(self) -> str:
        """Of times that name none."""
        ...

    @property
    def decimal(self) -> str:
        """What stands before a number's fraction: a point or a comma."""
        ...

    @property
    def arrival_lag_minutes(self) -> int | None:
        """How long after the event it was known, without a column `arrived_at`."""
        ...

    @property
    def has_prices(self) -> bool:
        """Whether the source says what a thing was sold for."""
        ...

    @property
    def values(self) -> Mapping[str, Mapping[str, str]]:
        """Our column to the source's words to ours."""
        ...


@dataclass(frozen=True)
class Cell:
    """One typed column and what is wrong with it.

    `text` is said once, as a column of its own, and so is `typed`, which is told of it; all else is told of these.
    Said again wherever it is used, a feed's columns make a plan that takes Spark seconds to look through, and a method
    that Java does not compile.

    Attributes:
        name: The column.
        text: What the raw column says, in our words.
        typed: The same as our type.
        value: What the column will be.
        problem: The reason, or null.
        read: True where the record has something here that could be read. None: any text is right.
        unread: True where it has something that could not.
    """

    name: str
    text: Column
    typed: Column
    value: Column
    problem: Column
    read: Column | None = None
    unread: Column | None = None

    @staticmethod
    def of(name: str, text: Column, typed: Column | None = None) -> Cell:
        """A column with nothing wrong, as it is typed; None: as it is."""
        return Cell(
            name, text, _text(name) if typed is None else typed, F.col(_TYPED + name), F.lit(None).cast("string")
        )

    def refuse(self, code: str, wrong: Column, shown: Column) -> Cell:
        """Adds a check: the reason `code` where `wrong` is true, unless there is a reason already."""
        reason = F.concat(F.lit(f"{code}:{self.name}='"), shown.cast("string"), F.lit("'"))
        return replace(self, problem=F.coalesce(self.problem, F.when(wrong, reason)))


def with_typed(raw: DataFrame, cells: Sequence[Cell]) -> DataFrame:
    """Adds what the cells' values and problems are told of."""
    texts = raw.withColumns({_TEXT + cell.name: cell.text for cell in cells})
    return texts.withColumns({_TYPED + cell.name: cell.typed for cell in cells})


def _text(name: str) -> Column:
    return F.col(_TEXT + name)


@dataclass(frozen=True)
class Parser:
    """Parses the columns of one feed.

    Attributes:
        reading: How its values are written.
        quote: Characters of a refused value that a reason quotes.
        settings: Of cleaning.
    """

    reading: Reading
    quote: int
    settings: CleanSettings

    def text(self, name: str, *, required: bool = False, default: str | None = None) -> Cell:
        """A string without blanks at its ends; an empty one is null, and null is `default`."""
        cell = self._cell(name)
        cell = cell.refuse("too_long", F.octet_length(cell.value) > _LONGEST, self.shown(name))
        if default is not None:
            return replace(cell, value=F.coalesce(cell.value, F.lit(default)))
        return self._required(cell) if required else cell

    def choice(self, name: str, words: Sequence[str]) -> Cell:
        """One of our words, required; the source's words are translated by the mapping's `values`."""
        cell = self._required(self._cell(name))
        return cell.refuse("unknown", ~cell.value.isin(*words), self.shown(name))

    def exchange(self, at: Column) -> Exchange:
        """What a unit of the record's currency was worth in ours at that time."""
        return exchange(self._said("currency"), at, self.settings, shown=self.shown("currency"))

    def money(self, name: str, rate: Exchange, *, low: float = 0.0, default: float | None = None) -> Cell:
        """An amount in our currency, from `low` to `clean.max_money`."""
        plain = self._cell(name, self._number(name).try_cast(MONEY))
        cell = self._range(self._parsed(replace(plain, value=rate.ours(plain.value))), low, self.settings.max_money)
        if default is None:
            return cell
        filled = F.when(_text(name).isNull(), F.lit(default).cast(MONEY)).otherwise(cell.value)
        return replace(cell, value=filled)

    def integer(self, name: str, *, low: float, high: float, required: bool = False) -> Cell:
        """A whole number from `low` to `high`; 3.0 is one too."""
        wide = self._number(name).try_cast("decimal(20,6)")
        whole = F.when(wide == F.floor(wide), wide.try_cast("int"))
        cell = self._range(self._parsed(self._cell(name, whole)), low, high)
        return self._required(cell) if required else cell

    def double(self, name: str, *, low: float, high: float) -> Cell:
        """A number from `low` to `high`; not a number is none."""
        value = self._number(name).try_cast("double")
        return self._range(self._parsed(self._cell(name, F.when(~F.isnan(value), value))), low, high)

    def boolean(self, name: str) -> Cell:
        """True or false (also yes, no, 1, 0)."""
        return self._parsed(self._cell(name, _text(name).try_cast("boolean")))

    def words(self, name: str) -> Cell:
        """A list: a JSON array, which may be empty, or words with | between them; null where there is none."""
        text = _text(name)
        listed = F.when(text.startswith("["), F.from_json(text, "array<string>")).otherwise(F.split(text, r"\s*\|\s*"))
        return self._parsed(self._cell(name, listed))

    def instant(self, name: str, *, required: bool = False) -> Cell:
        """A time, in UTC."""
        cell = self._parsed(self._cell(name, self._time(_text(name))))
        return self._required(cell) if required else cell

    def arrival(self, happened: Cell) -> Cell:
        """`arrived_at` of an event: its own column, else the event's time and the mapping's lag.

        An event that is more than `clean.clock_skew_minutes` later than its arrival, or than its load, is refused: one
        of the clocks is wrong. So is one that arrived more than `clean.late_days` after it had happened.
        """
        own = self.instant("arrived_at")
        value = own.value
        if self.reading.arrival_lag_minutes is not None:
            lag = self.reading.arrival_lag_minutes * _MINUTE
            value = F.coalesce(value, F.timestamp_micros(F.unix_micros(happened.value) + lag))
        # As numbers: Spark adds an interval to a time by way of the calendar.
        moment, skew = F.unix_micros(happened.value), self.settings.clock_skew_minutes * _MINUTE
        early = (moment > F.unix_micros(value) + skew) | (moment > F.unix_micros(F.col("loaded_at")) + skew)
        cell = self._required(replace(own, value=value)).refuse("clock_skew", early, self.shown(happened.name))
        if self.settings.late_days is None:
            return cell
        late = F.unix_micros(value) > moment + self.settings.late_days * MICROS_A_DAY
        return cell.refuse("late", late, self.shown(happened.name))

    def known_since(self) -> Cell:
        """`arrived_at` of a version of a product, user or offer: its own column, else the time of its load."""
        own = self.instant("arrived_at")
        return replace(own, value=F.coalesce(own.value, F.col("loaded_at")))

    def _cell(self, name: str, typed: Column | None = None) -> Cell:
        return Cell.of(name, self._said(name), typed)

    def _said(self, name: str) -> Column:
        text = F.nullif(F.trim(F.col(name)), F.lit(""))
        ours = self.reading.values.get(name)
        if not ours:
            return text
        words = F.create_map(*[F.lit(word) for pair in sorted(ours.items()) for word in pair])
        return F.nullif(F.coalesce(words[text], text), F.lit(""))

    def _number(self, name: str) -> Column:
        """A number's text as Spark reads it; null where the text is none in the source's way of writing."""
        text = _text(name)
        if self.reading.decimal == ".":
            return text
        written = text.rlike(r"^[+-]?(\d+|\d{1,3}(\.\d{3})+)(,\d+)?$")
        return F.when(written, F.replace(F.replace(text, F.lit(".")), F.lit(","), F.lit(".")))

    def shown(self, name: str) -> Column:
        """A raw value as a reason quotes it, cut."""
        return F.left(F.coalesce(F.col(name), F.lit("null")), F.lit(self.quote))

    def _required(self, cell: Cell) -> Cell:
        reason = F.when(cell.value.isNull(), F.lit(f"missing:{cell.name}"))
        return replace(cell, problem=F.coalesce(cell.problem, reason))

    def _parsed(self, cell: Cell) -> Cell:
        unparsable = cell.value.isNull() & _text(cell.name).isNotNull()
        told = replace(cell, read=cell.value.isNotNull(), unread=unparsable)
        return told.refuse("unparsable", unparsable, self.shown(cell.name))

    def _range(self, cell: Cell, low: float, high: float) -> Cell:
        return cell.refuse("range", (cell.value < low) | (cell.value > high), self.shown(cell.name))

    def _time(self, text: Column) -> Column:
        return F.coalesce(*[self._time_as(form, text) for form in self.reading.time_format])

    def _time_as(self, form: str, text: Column) -> Column:
        zone = self.reading.time_zone
        if form in ("epoch_s", "epoch_ms"):
            number = text.try_cast("decimal(24,6)") / (1 if form == "epoch_s" else 1000)
            # Beside other forms, a number that would be a time soon after 1970 is another form's.
            least = 0 if len(self.reading.time_format) == 1 else _EPOCH_BEGIN
            inside = (number >= least) & (number < _EPOCH_END)
            return F.when(inside, F.timestamp_micros((number * 1_000_000).cast("bigint")))
        if form != "iso":
            time = F.try_to_timestamp(text, F.lit(form))
            named = any(letter in re.sub(r"'[^']*'", "", form) for letter in "zXxOVZ")
            return time if named or zone == "UTC" else F.to_utc_timestamp(time, zone)
        # A cast takes `12:00` for today's: only what begins with a date is a time.
        dated = F.substr(text, F.lit(5), F.lit(1)) == "-"
        if zone == "UTC":
            # Spark looks a zone up by two patterns, which takes longer than all else: not for the Z of most logs.
            usual = F.octet_length(text).isin(*_USUAL) & F.endswith(text, F.lit("Z"))
            short = F.when(usual, F.substr(text, F.lit(1), F.length(text) - 1)).otherwise(text)
            return F.when(dated, short.try_cast("timestamp"))
        time = F.when(dated, text.try_cast("timestamp"))
        named_zone = text.rlike(r"(Z|UTC|GMT|:\d\d(\.\d+)?\s*[+-]\d\d?(:?\d\d)?)$")
        return F.when(named_zone, time).otherwise(F.to_utc_timestamp(time, zone))
