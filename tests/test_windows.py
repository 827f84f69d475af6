"""Windows are half-open, and both clocks count."""

from __future__ import annotations

from datetime import UTC, date, datetime

import pytest
from pyspark.sql import SparkSession
from pyspark.sql import functions as F

from offerlake.errors import ConfigError
from offerlake.windows import in_window, known_before, midnight, parse_as_of


def test_as_of_is_a_date_and_means_its_midnight() -> None:
    assert parse_as_of("2025-09-03") == date(2025, 9, 3)
    assert midnight(date(2025, 9, 3)) == datetime(2025, 9, 3, tzinfo=UTC)


@pytest.mark.parametrize("text", ["today", "2025-13-01", "", "03.09.2025"])
def test_what_is_no_date_is_refused(text: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_as_of(text)
    assert repr(text) in caught.value.message
    assert caught.value.exit_code == 2


def test_known_before_wants_both_clocks(spark: SparkSession) -> None:
    rows = [("2025-01-01 23:59:59", "2025-01-01 23:59:59"), ("2025-01-01 23:59:59", "2025-01-02 00:00:00"),
            ("2025-01-02 00:00:00", "2025-01-02 00:00:00"), ("2025-01-03 00:00:00", "2025-01-01 00:00:00")]  # fmt: skip
    frame = spark.createDataFrame(rows, "h string, a string").select(
        F.col("h").cast("timestamp"), F.col("a").cast("timestamp")
    )
    moment = F.lit(midnight(date(2025, 1, 2)))
    known = frame.select(known_before(moment, happened=F.col("h"), arrived=F.col("a")))
    assert [row[0] for row in known.collect()] == [True, False, False, False]


def test_a_window_holds_its_first_day_and_not_its_last(spark: SparkSession) -> None:
    frame = spark.sql("SELECT explode(sequence(DATE'2025-01-01', DATE'2025-01-06')) AS day")
    inside = frame.where(in_window(F.col("day"), end=F.lit(date(2025, 1, 5)), days=3))
    assert [row[0].day for row in inside.collect()] == [2, 3, 4]
