"""`click_examples`: one row for an offer seen on the site, whether it was clicked; of those that were not a sample.

Whose a click is must never change: it belongs to the last impression of the offer to that user before it. So an
impression counts only if it arrived within `wait_days`. Then all that follow one within its window have arrived before
that one is final, and what comes later moves no label.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import date, timedelta

from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F

from offerlake.config import ExampleSettings
from offerlake.randomness import uniform
from offerlake.schemas.gold import CLICK_EXAMPLES

_MINUTES_A_DAY = 1440


@dataclass(frozen=True)
class Seen:
    """Impressions by day.

    Attributes:
        rows: All of them.
        late: Those that arrived too late to count.
        days: The days on which there are any, ascending.
    """

    rows: int
    late: int
    days: tuple[date, ...]


def final_through(as_of: date, *, settings: ExampleSettings) -> date:
    """The newest day all of whose impressions are final as of `as_of`: the windows are over, and the wait is."""
    return as_of - timedelta(days=1 + _window_days(settings) + settings.wait_days)


def seen(clicks: DataFrame, *, after: date | None, through: date, settings: ExampleSettings) -> Seen:
    """Counts impressions by day; as many rows as there are days come to the driver.

    Args:
        clicks: Silver, whole.
        after: Days up to this one are left out; None: none is.
        through: The last day.
        settings: The wait.
    """
    wanted = F.col("event_date") <= F.lit(through)
    if after is not None:
        wanted = wanted & (F.col("event_date") > F.lit(after))
    late = F.count_if(~_in_time(settings)).alias("late")
    days = clicks.where(wanted & _of_offer("offer_view")).groupBy("event_date").agg(F.count("event_id"), late).collect()
    return Seen(
        rows=sum(rows for _, rows, _ in days),
        late=sum(late for *_, late in days),
        days=tuple(sorted(day for day, *_ in days)),
    )


def click_examples(clicks: DataFrame, *, first: date, last: date, settings: ExampleSettings, seed: int) -> DataFrame:
    """The rows of `click_examples` of the days from `first` to `last`, both final.

    A click belongs to the last impression before it, if it is in its window; of two at the same moment to the one with
    the greater id. It counts if it arrived before shown_at + window + wait.

    Args:
        clicks: Silver, whole.
        first: The first day.
        last: The last day.
        settings: Window, wait, and share of negatives.
        seed: Of the draws.
    """
    near = clicks.where(F.col("event_date").between(first, last + timedelta(days=_window_days(settings))))
    window = F.expr(f"INTERVAL {settings.click_window_minutes} MINUTES")
    again = F.lead("shown_at").over(Window.partitionBy("user_id", "offer_id").orderBy("shown_at", "impression_id"))
    shown = (
        near.where(_of_offer("offer_view") & _in_time(settings))
        .select(
            F.col("event_id").alias("impression_id"),
            "user_id",
            "offer_id",
            "channel",
            F.col("event_time").alias("shown_at"),
            F.col("event_date").alias("shown_date"),
        )
        .withColumn("label_end", F.least(F.col("shown_at") + window, again))
        .where(F.col("shown_date") <= F.lit(last))
    )
    clicked = near.where(_of_offer("offer_click")).select(
        F.col("user_id").alias("_user"),
        F.col("offer_id").alias("_offer"),
        F.col("event_time").alias("_at"),
        F.col("arrived_at").alias("_arrived"),
    )
    own = (
        (F.col("user_id") == F.col("_user"))
        & (F.col("offer_id") == F.col("_offer"))
        & (F.col("_at") >= F.col("shown_at"))
        & (F.col("_at") < F.col("label_end"))
        & (F.col("_arrived") < F.col("shown_at") + window + _wait(settings))
    )
    labelled = (
        shown.join(clicked, on=own, how="left")
        .groupBy(*shown.columns)
        .agg(F.max(F.col("_at").isNotNull().cast("int")).alias("clicked"))
        .withColumn("window_minutes", F.lit(settings.click_window_minutes))
    )
    return CLICK_EXAMPLES.select(sampled(labelled, rate=settings.negative_rate, seed=seed))


def sampled(labelled: DataFrame, *, rate: float, seed: int) -> DataFrame:
    """Keeps every row that was clicked, and of the others each with the same probability.

    Args:
        labelled: impression_id, clicked (0 or 1), and columns of their own.
        rate: The probability, in (0, 1]. A lower one keeps a part of what a higher one does.
        seed: Of the draws.

    Returns:
        What is kept, with `sampling_rate`: the probability with which it was.
    """
    probability = F.when(F.col("clicked") == 1, F.lit(1.0)).otherwise(F.lit(rate))
    drawn = uniform(seed, "click_examples", F.col("impression_id"))
    return labelled.withColumn("sampling_rate", probability).where(drawn < F.col("sampling_rate"))


def _of_offer(kind: str) -> Column:
    """True for an event of the kind by a known user on an offer that the log names."""
    return (F.col("event_type") == kind) & F.col("user_id").isNotNull() & F.col("offer_id").isNotNull()


def _in_time(settings: ExampleSettings) -> Column:
    return F.col("arrived_at") <= F.col("event_time") + _wait(settings)


def _wait(settings: ExampleSettings) -> Column:
    return F.expr(f"INTERVAL {settings.wait_days} DAYS")


def _window_days(settings: ExampleSettings) -> int:
    """Days that a window reaches at most beyond the one it begins on."""
    return math.ceil(settings.click_window_minutes / _MINUTES_A_DAY)
