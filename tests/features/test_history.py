"""A day before all history is refused, with the first day that has some."""

from __future__ import annotations

from datetime import date

import pytest
from pyspark.sql import SparkSession

from offerlake.config import Settings
from offerlake.errors import DataError
from offerlake.features.history import require_history

from .shop import activity, shop


def test_the_first_day_with_history_is_told(spark: SparkSession, settings: Settings) -> None:
    made = shop(
        spark,
        clicks=[
            {"user_id": "u", "event_time": "2025-01-05", "arrived_at": "2025-01-09"},
            {"anonymous_id": "a", "event_time": "2025-01-02"},
        ],
        order_lines=[{"user_id": "u", "product_id": "p", "order_time": "2025-01-07"}],
        exposures=[{"user_id": "u", "offer_id": "o", "shown_at": "2025-01-01"}],
    )
    days = activity(made, settings)["days"]
    require_history(date(2025, 1, 8), days)
    with pytest.raises(DataError) as caught:
        # The click had happened, but not arrived; the order had arrived at this very moment.
        require_history(date(2025, 1, 7), days)
    assert caught.value.message == "as_of: got 2025-01-07, before which no user's click or order had arrived"
    assert caught.value.fix == "Give 2025-01-08 or a later day."
    assert caught.value.exit_code == 1


def test_no_history_at_all_is_told(spark: SparkSession, settings: Settings) -> None:
    with pytest.raises(DataError) as caught:
        require_history(date(2025, 1, 7), activity(shop(spark), settings)["days"])
    assert caught.value.fix == "Land clicks or orders of known users first."
