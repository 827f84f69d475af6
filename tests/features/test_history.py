"""A day before all history is refused, with the first day that has some."""

from __future__ import annotations

from datetime import UTC, date, datetime

import pytest
from pyspark.sql import DataFrame, SparkSession

from offerlake.errors import DataError
from offerlake.features.history import require_history

EMPTY: list[tuple[datetime, datetime]] = []


def _rows(spark: SparkSession, clock: str, *days: tuple[int, int]) -> DataFrame:
    """Rows of January 2025: (day it happened, day it arrived)."""
    rows = [
        (datetime(2025, 1, happened, tzinfo=UTC), datetime(2025, 1, arrived, tzinfo=UTC)) for happened, arrived in days
    ]
    return spark.createDataFrame(rows or EMPTY, f"{clock} timestamp, arrived_at timestamp")


def test_the_first_day_with_history_is_told(spark: SparkSession) -> None:
    clicks = _rows(spark, "event_time", (5, 9))
    order_lines = _rows(spark, "order_time", (7, 7))
    require_history(date(2025, 1, 8), clicks=clicks, order_lines=order_lines)
    with pytest.raises(DataError) as caught:
        # The click had happened, but not arrived; the order had arrived at this very moment.
        require_history(date(2025, 1, 7), clicks=clicks, order_lines=order_lines)
    assert caught.value.message == "as_of: got 2025-01-07, before which no click and no order had arrived"
    assert caught.value.fix == "Give 2025-01-08 or a later day."
    assert caught.value.exit_code == 1


def test_no_history_at_all_is_told(spark: SparkSession) -> None:
    with pytest.raises(DataError) as caught:
        require_history(date(2025, 1, 7), clicks=_rows(spark, "event_time"), order_lines=_rows(spark, "order_time"))
    assert caught.value.fix == "Land clicks or orders first."
