"""The last events of users: which count, in which order, and the same whether carried on or built from everything."""

from __future__ import annotations

from datetime import date, timedelta
from itertools import pairwise

from hypothesis import HealthCheck, Phase, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from pyspark.sql import DataFrame, SparkSession

from offerlake.features.sequences import carried_on, event_log, sequences

from .shop import day, moment, shop

D = day("2025-03-10")


def _told(frame: DataFrame) -> dict[tuple[date, str], list[tuple[str, str, str | None]]]:
    return {
        (row.as_of, row.user_id): [
            (time.strftime("%d %H:%M"), kind, product)
            for time, kind, product in zip(row.times, row.event_types, row.product_ids, strict=True)
        ]
        for row in frame.collect()
    }


def test_the_last_events_that_had_happened_and_arrived(spark: SparkSession) -> None:
    made = shop(
        spark,
        clicks=[
            {"user_id": "u", "event_time": "2025-03-07 10:00", "product_id": "a"},
            {"user_id": "u", "event_time": "2025-03-09 12:00", "event_type": "search", "query": "x"},
            {"user_id": "u", "event_time": "2025-03-09 12:00", "event_type": "add_to_cart", "product_id": "b"},
            {"user_id": "u", "event_time": "2025-03-09 09:00", "arrived_at": "2025-03-10 00:00", "product_id": "late"},
            {"user_id": "u", "event_time": "2025-03-10 00:00", "product_id": "future"},
            {"user_id": "u", "event_time": "2025-03-09 13:00", "event_type": "purchase", "product_id": "b"},
            {"user_id": "v", "event_time": "2025-03-10 08:00", "product_id": "a"},
            {"anonymous_id": "x", "event_time": "2025-03-09 08:00", "product_id": "a"},
        ],
        order_lines=[
            {"user_id": "u", "product_id": "b", "order_time": "2025-03-09 13:00"},
            {"user_id": "u", "product_id": "b", "order_time": "2025-03-09 14:00", "quantity": -1},
        ],
    )
    log = event_log(made.clicks, made.order_lines)
    rows = [(each, user) for each in (D, D + timedelta(days=1)) for user in ("u", "v")]
    wanted = spark.createDataFrame(rows, "as_of date, user_id string")
    cart, search, bought = ("09 12:00", "add_to_cart", "b"), ("09 12:00", "search", None), ("09 13:00", "purchase", "b")
    assert _told(sequences(wanted, log, length=9)) == {
        (D, "u"): [("07 10:00", "view", "a"), cart, search, bought],
        (D + timedelta(days=1), "u"): [
            ("07 10:00", "view", "a"), ("09 09:00", "view", "late"), cart, search, bought,
            ("10 00:00", "view", "future"),
        ],
        (D + timedelta(days=1), "v"): [("10 08:00", "view", "a")],
    }  # fmt: skip
    assert _told(sequences(wanted, log, length=2))[D, "u"] == [search, bought]


_EVENT = st.tuples(st.integers(0, 6 * 24), st.one_of(st.just(0), st.integers(0, 72)), st.integers(0, 2))


@hypothesis_settings(
    max_examples=2,
    deadline=None,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(users=st.lists(st.lists(_EVENT, max_size=12), min_size=30, max_size=30))
def test_carried_on_is_the_same_as_from_everything(
    spark: SparkSession, users: list[list[tuple[int, int, int]]]
) -> None:
    begin = moment("2025-03-01")
    events = [(f"u{k}", hours, late, product) for k, history in enumerate(users) for hours, late, product in history]
    rows = [
        {
            "user_id": user,
            "product_id": f"p{product}",
            "event_time": (begin + timedelta(hours=hours)).strftime("%Y-%m-%d %H:%M"),
            "arrived_at": (begin + timedelta(hours=hours + late)).strftime("%Y-%m-%d %H:%M"),
        }
        for user, hours, late, product in events
    ]
    made = shop(spark, clicks=rows)
    log = event_log(made.clicks, made.order_lines).persist()
    days = [day("2025-03-03"), day("2025-03-05"), day("2025-03-09")]

    def of(as_of: date, events_known: DataFrame) -> DataFrame:
        wanted = [(as_of, f"u{number}") for number in range(len(users))]
        return sequences(spark.createDataFrame(wanted, "as_of date, user_id string"), events_known, length=3)

    carried = of(days[0], log)
    for before, as_of in pairwise(days):
        carried = of(as_of, carried_on(carried, log, day=before)).localCheckpoint()
        assert _told(carried) == _told(of(as_of, log))
    expected = {}
    for number, history in enumerate(users):
        known = sorted((hours, product) for hours, late, product in history if hours + late < 8 * 24)[-3:]
        if known:
            expected[days[-1], f"u{number}"] = [
                ((begin + timedelta(hours=hours)).strftime("%d %H:%M"), "view", f"p{product}")
                for hours, product in known
            ]
    assert _told(carried) == expected
