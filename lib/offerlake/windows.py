"""Time windows: half-open, in UTC, always relative to a moment that is passed in.

A window of `n` days as of day D is [D - n days, D). A row counts as of D when it had happened *and* arrived
before D 00:00 UTC (two clocks: the event's and the arrival's).
"""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

from pyspark.sql import Column
from pyspark.sql import functions as F

from offerlake.errors import ConfigError


def parse_as_of(text: str) -> date:
    """Reads an `as_of` such as `2025-09-03`; raises ConfigError on anything else."""
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise ConfigError(f"as_of: got {text!r}", fix="Give a UTC date such as 2025-09-03.") from None


def midnight(day: date) -> datetime:
    """00:00 UTC of a day: the moment an `as_of` stands for."""
    return datetime(day.year, day.month, day.day, tzinfo=UTC)


def known_before(moment: Column, *, happened: Column, arrived: Column) -> Column:
    """True where a row had happened and arrived strictly before `moment` (all timestamps)."""
    return (happened < moment) & (arrived < moment)


def in_window(when: Column, *, end: Column, days: int) -> Column:
    """True where `when` lies in [end - days, end); `end` and `when` are both dates or both timestamps."""
    return (when >= end - F.expr(f"INTERVAL {int(days)} DAYS")) & (when < end)


def days_between(start: date, end: date, *, step: int) -> list[date]:
    """The days start, start + step, … that are before `end`."""
    if step < 1:
        raise ConfigError(f"step: got {step} days", fix="Give at least one day.")
    count = max(0, -(-(end - start).days // step))
    return [start + timedelta(days=step * k) for k in range(count)]
