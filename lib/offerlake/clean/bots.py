"""How much a session looks like a machine's: a score, and what it is made of."""

from __future__ import annotations

import math
from dataclasses import dataclass

from pyspark.sql import Column
from pyspark.sql import functions as F

from offerlake.config import CleanSettings

_TOLD = 0.1  # a sign below it is no reason


@dataclass(frozen=True)
class Suspicion:
    """What speaks for a machine.

    Attributes:
        score: In [0, 1].
        reasons: The score, and each sign that makes it up: a string, or null where it weighs nothing.
    """

    score: Column
    reasons: tuple[Column, ...]


def suspicion(settings: CleanSettings) -> Suspicion:
    """Scores a session of `sessions.with_sessions` by four signs, each in [0, 1]: 1 − Π (1 − sign).

    A sign is 1 − 2^−(x / limit)^4 of the rate (events a minute, from first to last event) and of the hours without a
    pause that ends a session, and 2^−(x / limit)^4 of the pauses' spread (standard deviation over mean: people's vary
    by more than their mean): 1/2 at its limit, next to nothing at half, or twice, of it. A known agent is 1. But for
    the agent, sessions of fewer than `bot_min_events` events show no sign. Signs add up as independent causes do
    (noisy-or, J. Pearl, Probabilistic Reasoning in Intelligent Systems, 1988).
    """
    long_enough = F.col("_events") >= settings.bot_min_events
    rate = F.try_divide((F.col("_events") - 1) * 60, F.col("_seconds"))
    hours = F.col("_seconds") / 3600
    fast = F.coalesce(_above(rate, settings.bot_events_per_minute), F.lit(1.0))
    even = F.coalesce(1 - _above(F.col("_pause_spread"), settings.bot_pause_spread), F.lit(0.0))
    signs = {
        "rate": (F.when(long_enough, fast), F.concat(F.coalesce(_text(rate, 1), F.lit("inf")), F.lit("/min"))),
        "pause_spread": (F.when(long_enough, even), _text(F.col("_pause_spread"), 3)),
        "no_pause": (F.when(long_enough, _above(hours, settings.bot_hours)), F.concat(_text(hours, 1), F.lit("h"))),
        "agent": (F.when(F.col("_marked"), 1.0), F.lit("known")),
    }
    human = F.lit(1.0)
    for sign, _ in signs.values():
        human = human * (1 - F.coalesce(sign, F.lit(0.0)))
    told = [F.when(sign >= _TOLD, F.concat(F.lit(f"bot:{name}="), text)) for name, (sign, text) in signs.items()]
    return Suspicion(1 - human, (F.concat(F.lit("bot:score="), _text(1 - human, 3)), *told))


def known_agent(settings: CleanSettings) -> Column:
    """True of an event whose device, where a source may put the browser's agent, names a program that is none."""
    return F.coalesce(F.lower("device").rlike(settings.bot_agents), F.lit(False))


def _above(x: Column, limit: float) -> Column:
    squared = (x / limit) * (x / limit)
    return 1 - F.exp(F.lit(-math.log(2)) * squared * squared)


def _text(x: Column, digits: int) -> Column:
    return F.round(x, digits).cast("string")
