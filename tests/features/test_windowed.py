"""Window sums of many days at once against sums written down one by one."""

from __future__ import annotations

from datetime import date, timedelta

from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from pyspark.sql import SparkSession
from pyspark.sql import functions as F

from offerlake.config import Settings
from offerlake.features.events import visits
from offerlake.features.windowed import window_sums

from .shop import day, moment, shop

START = date(2025, 1, 1)
GAP = 30


def test_borders_of_windows_and_of_both_clocks(spark: SparkSession) -> None:
    rows = [
        ("u", day("2025-01-03"), day("2025-01-10"), 1),  # 7 days old on the 10th, and known just then
        ("u", day("2025-01-02"), day("2025-01-03"), 10),  # 8 days old on the 10th
        ("u", day("2025-01-09"), day("2025-01-11"), 100),  # happened before, arrived after the 10th began
    ]
    wanted = [(day(text), user) for text in ("2025-01-09", "2025-01-10", "2025-01-11") for user in ("u", "v")]
    got = window_sums(
        spark.createDataFrame(wanted, "as_of date, user_id string"),
        spark.createDataFrame(rows, "user_id string, event_day date, since date, n int"),
        {"n": (7, 28)},
        as_ofs=[day(text) for text in ("2025-01-09", "2025-01-10", "2025-01-11")],
    ).collect()
    assert {(str(r.as_of), r.user_id): (r.n_7d, r.n_28d) for r in got} == {
        ("2025-01-09", "u"): (10, 10),
        ("2025-01-10", "u"): (1, 11),
        ("2025-01-11", "u"): (100, 111),
        ("2025-01-09", "v"): (0, 0),
        ("2025-01-10", "v"): (0, 0),
        ("2025-01-11", "v"): (0, 0),
    }


_ROW = st.tuples(st.integers(0, 40), st.integers(1, 30), st.integers(-5, 9))  # day, days until it counts, value
_DAYS = st.sets(st.integers(-3, 75), min_size=1, max_size=12)


@settings(
    max_examples=3,
    deadline=None,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(users=st.lists(st.lists(_ROW, max_size=8), min_size=20, max_size=20), ahead=_DAYS)
def test_many_days_are_each_summed_as_if_alone(
    spark: SparkSession, users: list[list[tuple[int, int, int]]], ahead: set[int]
) -> None:
    as_ofs = [START + timedelta(days=k) for k in ahead]
    rows = [
        (f"u{number}", START + timedelta(days=on), START + timedelta(days=on + wait), value, moment("2025-01-01"))
        for number, history in enumerate(users)
        for on, wait, value in history
    ]
    # Every other user is wanted on some of the days only.
    wanted = [(each, f"u{k}") for k in range(len(users)) for each in as_ofs if k % 2 or each.day % 3]
    got = window_sums(
        spark.createDataFrame(wanted, "as_of date, user_id string"),
        spark.createDataFrame(rows, "user_id string, event_day date, since date, n int, at timestamp"),
        {"n": (7, 28)},
        as_ofs=as_ofs,
        latest=["at"],
    ).collect()

    def total(number: int, as_of: date, length: int) -> int:
        days = (as_of - START).days
        return sum(v for on, wait, v in users[number] if on + wait <= days and days - length <= on)

    def known(number: int, as_of: date) -> bool:
        return any(on + wait <= (as_of - START).days for on, wait, _ in users[number])

    assert {(r.as_of, r.user_id): (r.n_7d, r.n_28d, r["at"] is not None) for r in got} == {
        (each, user): (total(int(user[1:]), each, 7), total(int(user[1:]), each, 28), known(int(user[1:]), each))
        for each, user in wanted
    }


# A click: minutes after the start, and minutes until it arrives. Some arrive days late, some at the same moment.
_CLICK = st.tuples(st.integers(0, 3 * 24 * 60), st.one_of(st.integers(0, 40), st.integers(0, 3 * 24 * 60)))
_USERS = st.lists(st.lists(_CLICK, min_size=1, max_size=12), min_size=60, max_size=60)


def _sessions(clicks: list[tuple[int, int]], as_of: date) -> int:
    """Sessions among the clicks that had arrived, one after the other."""
    limit = (as_of - START).days * 24 * 60
    times = sorted(at for at, late in clicks if at + late < limit)
    return sum(1 for k, at in enumerate(times) if k == 0 or at - times[k - 1] > GAP)


@settings(max_examples=2, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(users=_USERS)
def test_sessions_are_those_of_the_clicks_that_had_arrived(
    spark: SparkSession, settings: Settings, users: list[list[tuple[int, int]]]
) -> None:
    days = [START + timedelta(days=k) for k in range(1, 7)]
    text = "%Y-%m-%d %H:%M"
    begin = moment("2025-01-01")
    clicks = [
        {
            "user_id": f"u{number}",
            "event_time": (begin + timedelta(minutes=at)).strftime(text),
            "arrived_at": (begin + timedelta(minutes=at + late)).strftime(text),
        }
        for number, history in enumerate(users)
        for at, late in history
    ]
    made = shop(spark, clicks=clicks)
    wanted = [(each, f"u{number}") for each in days for number in range(len(users))]
    got = window_sums(
        spark.createDataFrame(wanted, "as_of date, user_id string"),
        visits(made.clicks, made.offers, settings=settings.features, session_gap_minutes=GAP),
        {"sessions": (364,)},
        as_ofs=days,
    ).select("as_of", "user_id", F.col("sessions_364d").alias("n"))
    expected = {(each, f"u{number}"): _sessions(history, each) for each in days for number, history in enumerate(users)}
    assert {(r.as_of, r.user_id): r.n for r in got.collect()} == expected
