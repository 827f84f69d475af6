"""Gaps between days with an order, as told when each became known, against gaps of what was known written down."""

from __future__ import annotations

from datetime import date, timedelta
from itertools import pairwise

from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from pyspark.sql import SparkSession

from offerlake.features.rhythm import OF_RHYTHM, with_rhythm
from offerlake.features.windowed import window_sums

START = date(2025, 3, 1)
_COLUMNS = "user_id string, event_day date, since date, orders bigint, spent bigint"
Daily = tuple[str, int, int, int, int]
"""User, day and counting day from START on, orders, spent."""


def _told(spark: SparkSession, rows: list[Daily]) -> dict[tuple[str, int, int], set[tuple[int | None, ...]]]:
    dated = [(u, START + timedelta(days=d), START + timedelta(days=s), n, spent) for u, d, s, n, spent in rows]
    found: dict[tuple[str, int, int], set[tuple[int | None, ...]]] = {}
    for row in with_rhythm(spark.createDataFrame(dated, _COLUMNS)).collect():
        key = (row.user_id, (row.event_day - START).days, (row.since - START).days)
        found.setdefault(key, set()).add(tuple(row[name] for name in OF_RHYTHM))
    return found


def test_an_order_known_late_parts_the_gap_in_which_it_lies(spark: SparkSession) -> None:
    rows = [
        ("u", 0, 1, 1, 100),
        ("u", 10, 11, 2, 50),  # two orders on one day
        ("u", 10, 13, 1, 7),  # a third one, known later: the day is known already
        ("u", 30, 31, 1, 20),
        ("u", 25, 40, 1, 9),  # between the 10th and the 30th
        ("v", 5, 6, 1, 3),
        ("v", 2, 8, 1, 4),  # before what was the first
        ("v", 9, 10, 0, 0),  # a return
    ]
    assert _told(spark, rows) == {
        ("u", 0, 1): {(1, 0, None, None, None)},
        ("u", 10, 11): {(1, 1, 10, 100, 50)},
        ("u", 10, 13): {(0, 0, None, None, 7)},
        ("u", 30, 31): {(1, 1, 20, 400, 20)},
        ("u", 25, 40): {(1, 1, 15, 225, 9)},
        ("u", 30, 40): {(None, 0, 5 - 20, 25 - 400, None)},
        ("v", 5, 6): {(1, 0, None, None, None)},
        ("v", 2, 8): {(1, 0, None, None, None)},
        ("v", 5, 8): {(None, 1, 3, 9, None), (None, None, None, None, 3)},
        ("v", 9, 10): {(0, 0, None, None, 0)},
    }


# Day, days until it counts, orders: many of them late, some with others in between.
_DAY = st.tuples(st.integers(0, 30), st.sampled_from([1, 1, 1, 2, 6, 20]), st.integers(0, 2))
_USERS = st.lists(st.lists(_DAY, max_size=8, unique_by=lambda row: row[:2]), min_size=40, max_size=40)


def _known(history: list[tuple[int, int, int]], as_of: int, length: int) -> tuple[int, int, int, int]:
    """Gaps that ended in a window, their days and squares, and what was spent after the first day."""
    days = sorted({on for on, wait, orders in history if orders and on + wait <= as_of})
    gaps = [b - a for a, b in pairwise(days) if b >= as_of - length]
    spent = sum(100 * n + on for on, wait, n in history if n and on + wait <= as_of and days and on > days[0])
    return len(gaps), sum(gaps), sum(gap * gap for gap in gaps), spent


@settings(
    max_examples=3,
    deadline=None,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(users=_USERS)
def test_gaps_are_those_of_the_orders_that_had_arrived(
    spark: SparkSession, users: list[list[tuple[int, int, int]]]
) -> None:
    names = ("gaps_14d", "gap_days_14d", "gap_squares_14d", "repeat_spent_ever")
    ahead = (3, 9, 10, 22, 28, 40, 60)
    as_ofs = [START + timedelta(days=k) for k in ahead]
    rows = [
        (f"u{number}", START + timedelta(days=on), START + timedelta(days=on + wait), n, 100 * n + on if n else 0)
        for number, history in enumerate(users)
        for on, wait, n in history
    ]
    got = window_sums(
        spark.createDataFrame(
            [(each, f"u{k}") for k in range(len(users)) for each in as_ofs], "as_of date, user_id string"
        ),
        with_rhythm(spark.createDataFrame(rows, _COLUMNS)),
        {"gaps": (14,), "gap_days": (14,), "gap_squares": (14,)},
        as_ofs=as_ofs,
        ever=("repeat_spent",),
    ).collect()
    assert {(row.user_id, (row.as_of - START).days): tuple(row[name] for name in names) for row in got} == {
        (f"u{k}", day): _known(history, day, 14) for k, history in enumerate(users) for day in ahead
    }
