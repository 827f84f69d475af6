"""When and where users come: the shop's own time, parts of the day, channels."""

from __future__ import annotations

from collections.abc import Sequence

from pyspark.sql import Column
from pyspark.sql import functions as F

from offerlake.schemas.user_features import DAY_PARTS
from offerlake.windows import SECONDS_A_DAY, utc_day

_SATURDAY = 5  # Spark's weekday: 0 is Monday


def local_time(moment: Column, zone: str) -> Column:
    """A timestamp whose UTC clock and calendar are those of the zone at that moment."""
    return moment if zone == "UTC" else F.from_utc_timestamp(moment, zone)


def at_weekend(local: Column) -> Column:
    """True on a Saturday or Sunday."""
    return F.weekday(utc_day(local)) >= _SATURDAY


def day_part(local: Column) -> Column:
    """The number in DAY_PARTS, six hours each from midnight on."""
    return F.floor(F.pmod(F.unix_seconds(local), F.lit(SECONDS_A_DAY)) * len(DAY_PARTS) / SECONDS_A_DAY).cast("int")


def is_one_of(channel: Column, names: Sequence[str]) -> Column:
    """Whether a channel is one of these, in whatever letters; false where it is not known."""
    return F.coalesce(F.lower(channel).isin([name.lower() for name in names]), F.lit(False))
