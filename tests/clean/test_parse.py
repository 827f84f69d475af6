"""Raw strings to typed values, one by one."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from pyspark.sql import SparkSession
from pyspark.sql import functions as F

from clean.made import Said, parser
from offerlake.clean.currency import Exchange
from offerlake.clean.parse import Cell, with_typed


def ours() -> Exchange:
    """All money is in our currency."""
    return Exchange(None, F.lit(None).cast("string"))


def parsed(spark: SparkSession, cell: Cell, values: list[str | None]) -> list[tuple[Any, str | None]]:
    frame = spark.createDataFrame(list(enumerate(values)), schema="n int, x string")
    rows = with_typed(frame, [cell]).select("n", cell.value.alias("value"), cell.problem.alias("problem")).collect()
    return [(row["value"], row["problem"]) for row in sorted(rows)]


def test_money_and_numbers(spark: SparkSession) -> None:
    parse = parser(max_money=1000.0)
    text = ["2.5", " 7 ", "1e2", None, "  ", "12,9x", "NaN", "-1", "1001", "9" * 40]
    assert parsed(spark, parse.money("x", ours()), text) == [
        (Decimal("2.5"), None),
        (Decimal(7), None),
        (Decimal(100), None),
        (None, None),
        (None, None),
        (None, "unparsable:x='12,9x'"),
        (None, "unparsable:x='NaN'"),
        (Decimal(-1), "range:x='-1'"),
        (Decimal(1001), "range:x='1001'"),
        (None, "unparsable:x='999999'"),
    ]
    assert parsed(spark, parse.money("x", ours(), default=0.0), [None, "1", "?"])[0] == (Decimal(0), None)
    assert parsed(spark, parse.integer("x", low=1, high=5), ["3", "3.0", "3.5", "6", "1e99", "x"]) == [
        (3, None),
        (3, None),
        (None, "unparsable:x='3.5'"),
        (6, "range:x='6'"),
        (None, "unparsable:x='1e99'"),
        (None, "unparsable:x='x'"),
    ]
    assert parsed(spark, parse.double("x", low=0, high=1), ["0.25", "NaN", "Infinity", "2"]) == [
        (0.25, None),
        (None, "unparsable:x='NaN'"),
        (float("inf"), "range:x='Infini'"),
        (2.0, "range:x='2'"),
    ]


def test_words(spark: SparkSession) -> None:
    parse = parser(Said(values={"x": {"pageview": "view"}}))
    assert parsed(spark, parse.choice("x", ["view"]), ["view", "pageview", "tap", ""]) == [
        ("view", None),
        ("view", None),
        ("tap", "unknown:x='tap'"),
        (None, "missing:x"),
    ]
    assert parsed(spark, parse.boolean("x"), ["true", "0", "No", None, "maybe"]) == [
        (True, None),
        (False, None),
        (False, None),
        (None, None),
        (None, "unparsable:x='maybe'"),
    ]
    assert parsed(spark, parse.words("x"), ['["a, b","c"]', "a, b | c", "a", None, "[broken", "[]", " "]) == [
        (["a, b", "c"], None),
        (["a, b", "c"], None),
        (["a"], None),
        (None, None),
        (None, "unparsable:x='[broke'"),
        ([], None),
        (None, None),
    ]


def test_a_word_of_the_source_may_say_that_there_is_nothing(spark: SparkSession) -> None:
    parse = parser(Said(values={"x": {"n/a": ""}}))
    assert parsed(spark, parse.money("x", ours()), ["n/a", "2", "?"]) == [
        (None, None),
        (Decimal(2), None),
        (None, "unparsable:x='?'"),
    ]
    assert parsed(spark, parse.text("x", required=True), ["n/a"]) == [(None, "missing:x")]


def test_a_decimal_comma(spark: SparkSession) -> None:
    parse = parser(Said(decimal=","), 9, max_money=1e9)
    good = {"1.234,5": "1234.5", "-12,50": "-12.5", "1.234.567": "1234567", "7": "7", "+0,1": "0.1"}
    found = parsed(spark, parse.money("x", ours(), low=-99), list(good))
    assert found == [(Decimal(value), None) for value in good.values()]
    bad = ["12.50", "1,234.5", "1.23,4", "12.3456", "1,", ",5", "1,2,3", "€ 5"]
    assert parsed(spark, parse.money("x", ours()), bad) == [(None, f"unparsable:x='{text}'") for text in bad]
    assert parsed(spark, parse.integer("x", low=0, high=5000), ["1.234", "3,0", "3,5"]) == [
        (1234, None), (3, None), (None, "unparsable:x='3,5'"),
    ]  # fmt: skip
    assert parsed(spark, parse.double("x", low=0, high=1), ["0,25"]) == [(0.25, None)]


NOON = datetime(2025, 1, 6, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("said", "good", "bad"),
    [
        (
            Said(),
            [
                "2025-01-06T12:00:00Z",
                "2025-01-06T12:00:00.000Z",
                "2025-01-06 12:00:00",
                "2025-01-06T13:00:00.000+01:00",
            ],
            [
                "2025-01-06T12:00:00ZZ",
                "2025-01-06T12:00:00+01:00Z",
                "12:00",
                "2025",
                "1736164800",
                "2025-01-32",
                "06.01.2025",
                "yesterday",
            ],
        ),
        (
            Said(time_zone="Europe/Berlin"),
            ["2025-01-06T13:00:00", "2025-01-06T12:00:00Z", "2025-01-06T14:00:00+02", "2025-01-06 09:30:00-2:30"],
            ["now"],
        ),
        (Said(time_format=("epoch_s",)), ["1736164800", "1736164800.0"], ["-5", "1736164800000", "1e30", "2025-01-06"]),
        (Said(time_format=("epoch_ms",)), ["1736164800000"], ["x"]),
        (Said(time_format=("dd.MM.yyyy HH:mm",)), ["06.01.2025 12:00"], ["2025-01-06 12:00", "32.01.2025 12:00"]),
        (Said(time_format=("dd.MM.yyyy HH:mm",), time_zone="Europe/Berlin"), ["06.01.2025 13:00"], ["06.01.2025"]),
        # Of several forms the first that fits.
        (
            Said(time_format=("iso", "dd.MM.yyyy HH:mm", "epoch_ms")),
            ["2025-01-06T12:00:00Z", "06.01.2025 12:00", "1736164800000"],
            ["6.1.25"],
        ),
        # Beside other forms a day or milliseconds are no seconds.
        (Said(time_format=("epoch_s", "epoch_ms")), ["1736164800", "1736164800000"], ["5"]),
        # What is quoted in a pattern is no zone, what is not is one.
        (
            Said(time_format=("yyyy-MM-dd'Z'HH:mm",), time_zone="Europe/Berlin"),
            ["2025-01-06Z13:00"],
            ["2025-01-06 13:00"],
        ),
        (Said(time_format=("yyyy-MM-dd HH:mmXXX",), time_zone="Europe/Berlin"), ["2025-01-06 14:00+02:00"], ["2025"]),
    ],
)
def test_times(spark: SparkSession, said: Said, good: list[str], bad: list[str]) -> None:
    found = parsed(spark, parser(said, 99).instant("x"), [*good, *bad])
    assert [(value.astimezone(UTC), problem) for value, problem in found[: len(good)]] == [(NOON, None)] * len(good)
    assert found[len(good) :] == [(None, f"unparsable:x='{text}'") for text in bad]


def test_an_event_may_come_too_late(spark: SparkSession) -> None:
    parse = parser(late_days=3, clock_skew_minutes=10)
    happened = parse.instant("event_time")
    cell = parse.arrival(happened)
    frame = spark.createDataFrame(
        [
            ("2025-01-03T12:00:00Z", "2025-01-06T12:00:00Z"),
            ("2025-01-03T11:59:59Z", "2025-01-06T12:00:00Z"),
            ("2025-01-06T12:10:01Z", "2025-01-06T12:00:00Z"),
            ("2025-01-06T12:10:01Z", "2025-01-06T12:10:01Z"),  # it was loaded before it happened
        ],
        "event_time string, arrived_at string",
    ).withColumn("loaded_at", F.lit(NOON))
    found = [row[0] for row in with_typed(frame, [happened, cell]).select(cell.problem).collect()]
    assert found == [
        None,
        "late:arrived_at='2025-0'",
        "clock_skew:arrived_at='2025-0'",
        "clock_skew:arrived_at='2025-0'",
    ]
