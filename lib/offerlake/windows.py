"""Time windows: half-open, in UTC, always relative to a moment that is passed in.

A window of `n` days as of day D is [D - n days, D). A row counts as of D when it had happened *and* arrived
before D 00:00 UTC (two clocks: the event's and the arrival's).
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, date, datetime

from pyspark.sql import Column
from pyspark.sql import functions as F

from offerlake.errors import ConfigError, DataError

SECONDS_A_DAY = 86_400
MICROS_A_DAY = 1_000_000 * SECONDS_A_DAY


def parse_as_of(text: str) -> date:
    """Reads an `as_of` such as `2025-09-03`; raises ConfigError on anything else."""
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise ConfigError(f"as_of: got {text!r}", fix="Give a UTC date such as 2025-09-03.") from None


def midnight(day: date) -> datetime:
    """00:00 UTC of a day: the moment an `as_of` stands for."""
    return datetime(day.year, day.month, day.day, tzinfo=UTC)


def utc_day(moment: Column) -> Column:
    """The day (date) of a timestamp, in UTC. By arithmetic: Spark's own cast goes by way of the calendar."""
    return F.date_from_unix_date(F.floor(F.unix_seconds(moment) / SECONDS_A_DAY).cast("int"))


def known_before(moment: Column, *, happened: Column, arrived: Column) -> Column:
    """True where a row had happened and arrived strictly before `moment` (all timestamps)."""
    return (happened < moment) & (arrived < moment)


def in_window(when: Column, *, end: Column, days: int) -> Column:
    """True where `when` lies in [end - days, end); `end` and `when` are both dates or both timestamps."""
    return (when >= end - F.expr(f"INTERVAL {int(days)} DAYS")) & (when < end)


@dataclass(frozen=True)
class TimeSplit:
    """Where the later slices of the examples begin: `validation_from`, and `test_from` (None: there is no test)."""

    validation_from: date
    test_from: date | None

    @property
    def judged(self) -> str:
        """The slice whose numbers are reported: `test` where there is one, else `validation`."""
        return "validation" if self.test_from is None else "test"


def split_by_time(days: Iterable[date], *, validation_share: float, test_from: date | None) -> TimeSplit:
    """Splits examples by the day they were shown: a model is judged on days that come after those it learnt from.

    Args:
        days: The distinct values of `shown_date`, in any order.
        validation_share: Share of the days before `test_from`, the latest of them, that validate; at least one does.
        test_from: Days from here on are the test; None: no test.

    Raises:
        DataError: Fewer than two days are left to learn from and validate on, or no day to test on.
    """
    known = sorted(set(days))
    learnt = [day for day in known if test_from is None or day < test_from]
    if len(learnt) < 2:
        raise DataError(
            f"examples: shown on {len(learnt)} day(s){f' before response.test_from {test_from}' if test_from else ''}",
            fix="A split by time needs two: one to learn from, a later one to validate on.",
        )
    if test_from is not None and len(learnt) == len(known):
        raise DataError(
            f"examples: none on or after response.test_from {test_from}", fix="Set an earlier day, or null."
        )
    validating = min(max(1, math.ceil(validation_share * len(learnt) - 1e-9)), len(learnt) - 1)
    return TimeSplit(validation_from=learnt[-validating], test_from=test_from)


def part_of(split: TimeSplit, *, shown: Column, label_end: Column) -> Column:
    """`train`, `validation` or `test`; null: left out, because its label window reaches into a later slice.

    A row belongs to the slice of its `shown` (a date) and must have its label before the next slice begins
    (`label_end` ≤ its 00:00), so that nothing learnt from saw the days on which it is judged.
    """
    begun = F.lit(split.validation_from)
    column = F.when((shown < begun) & (label_end <= F.lit(midnight(split.validation_from))), "train")
    later = shown >= begun
    if split.test_from is not None:
        column = column.when(shown >= F.lit(split.test_from), "test")
        later = later & (label_end <= F.lit(midnight(split.test_from)))
    return column.when(later, "validation")
