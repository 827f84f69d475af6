"""Which sessions are a machine's."""

from __future__ import annotations

from pyspark.sql import Column
from pyspark.sql import functions as F

from offerlake.config import CleanSettings


def bot_reason(settings: CleanSettings) -> Column:
    """Why a session of `sessions.with_sessions` is a bot's; null: it is not.

    It has at least `bot_min_events` events, and either more of them a minute than `bot_events_per_minute`, from its
    first to its last, or pauses that are all alike: their spread is below `bot_pause_spread`. People's pauses vary by
    more than their mean.
    """
    rate = F.try_divide((F.col("_events") - 1) * 60, F.col("_seconds"))
    fast = F.coalesce(rate > settings.bot_events_per_minute, F.lit(True))
    even = F.col("_pause_spread") < settings.bot_pause_spread
    by_rate = F.concat(F.lit("bot:rate="), F.coalesce(F.round(rate, 1).cast("string"), F.lit("inf")), F.lit("/min"))
    by_spread = F.concat(F.lit("bot:pause_spread="), F.round("_pause_spread", 3).cast("string"))
    return F.when(F.col("_events") >= settings.bot_min_events, F.when(fast, by_rate).when(even, by_spread))
