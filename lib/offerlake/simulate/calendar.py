"""The shop's calendar: windows of one round's length, one after the other, each user's at his own time of day.

Window w of user u is [start + w · round + own time of day, one round later): windows of a user never overlap and leave
no gap. The first `warmup` windows have no exposures; then come the rounds of the experiment, then the old rule's
campaign, then a few days in which life goes on.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta

from pyspark.sql import Column
from pyspark.sql import functions as F

from offerlake.config import SimulateSettings
from offerlake.errors import ConfigError
from offerlake.randomness import uniform

DAY_MS = 86_400_000
MINUTE_MS = 60_000


@dataclass(frozen=True)
class Calendar:
    """Days and windows of one shop.

    Attributes:
        start: First day.
        warmup: Windows before the experiment.
        rounds: Windows of the experiment.
        round_days: Days of a window.
    """

    start: date
    warmup: int
    rounds: int
    round_days: int

    @classmethod
    def of(cls, settings: SimulateSettings) -> Calendar:
        """The calendar of the settings.

        Raises:
            ConfigError: warmup_days is no multiple of round_days, or a round is too short for an order and its return.
        """
        if settings.warmup_days % settings.round_days:
            raise ConfigError(
                f"setting simulate.warmup_days: got {settings.warmup_days}",
                fix=f"Give a multiple of round_days, {settings.round_days}.",
            )
        if settings.round_days < ORDER_DAYS + RETURN_DAYS:
            raise ConfigError(
                f"setting simulate.round_days: got {settings.round_days}",
                fix=f"Give at least {ORDER_DAYS + RETURN_DAYS}.",
            )
        return cls(settings.start, settings.warmup_days // settings.round_days, settings.rounds, settings.round_days)

    @property
    def windows(self) -> int:
        """Windows in all, the campaign's included."""
        return self.warmup + self.rounds + 1

    @property
    def campaign(self) -> int:
        """Number of the campaign's window."""
        return self.warmup + self.rounds

    @property
    def days(self) -> int:
        """Days of the log: the campaign's windows end within the first of the last three."""
        return self.windows * self.round_days + TAIL_DAYS

    @property
    def start_ms(self) -> int:
        """First moment, epoch milliseconds."""
        return int(datetime(self.start.year, self.start.month, self.start.day, tzinfo=UTC).timestamp()) * 1000

    @property
    def round_ms(self) -> int:
        """Length of a window, milliseconds."""
        return self.round_days * DAY_MS

    @property
    def end_ms(self) -> int:
        """Moment after the last day, epoch milliseconds."""
        return self.start_ms + self.days * DAY_MS

    @property
    def end(self) -> date:
        """The day after the last one."""
        return self.start + timedelta(days=self.days)


TAIL_DAYS = 3
"""Days after the campaign's last round, without offers, until its outcome is known."""
ORDER_DAYS = 9
"""An order comes within the first 8.5 days of its window …"""
RETURN_DAYS = 5
"""… and a return within 5 days of its order: both in the same window."""


def window_start(calendar: Calendar, seed: int, number: Column, window: Column) -> Column:
    """When a window of a user begins, epoch milliseconds: between 06:00 and 22:00 of its first day."""
    own = ((F.lit(6.0) + F.lit(16.0) * uniform(seed, "time of day", number)) * 3_600).cast("bigint") * 1000
    return F.lit(calendar.start_ms) + window.cast("bigint") * F.lit(calendar.round_ms) + own


def iso(milliseconds: Column) -> Column:
    """Epoch milliseconds as ISO 8601 text in UTC."""
    return F.date_format(F.timestamp_millis(milliseconds), "yyyy-MM-dd'T'HH:mm:ss.SSS'Z'")
