"""Users by their other ids: whose an event is, and since when anybody knew."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from pyspark.sql import SparkSession

from clean.made import outcomes, raw, rules
from offerlake.clean.clicks import clean_clicks
from offerlake.clean.identities import clean_identities
from offerlake.clean.orders import clean_orders

NOON, LATER = "2025-01-06T12:00:00Z", "2025-01-08T12:00:00Z"


def known(spark: SparkSession) -> dict[str, Any]:
    told = [
        {"alias": "card", "user_id": "u1", "arrived_at": "2025-01-01"},
        {"alias": "card", "user_id": "u1", "arrived_at": "2025-01-02"},
        {"alias": "card", "user_id": "u2", "arrived_at": "2025-01-07"},
        {"alias": "browser", "user_id": "u3", "arrived_at": "2025-01-07"},
        {"alias": "", "user_id": "u3"},
        {"alias": "lost"},
    ]
    cleaned = clean_identities(raw(spark, "identities", told), rules=rules())
    assert outcomes(cleaned) == ["good", "duplicate", "good", "good", "missing:alias", "missing:user_id"]
    return {
        "identities": cleaned.good,
        "products": spark.createDataFrame([("p",)], "product_id string"),
        "users": spark.createDataFrame([(f"u{n}",) for n in range(1, 5)], "user_id string"),
        "rules": rules(),
    }


def test_a_card_at_the_till(spark: SparkSession) -> None:
    base = {"line_id": "1", "product_id": "p", "quantity": "1", "unit_price": "2"}
    when = {"order_time": NOON, "arrived_at": NOON}
    rows = [
        {**base, **when, "order_id": "a", "user_id": "card"},
        {**base, "order_id": "b", "user_id": "card", "order_time": LATER, "arrived_at": LATER},
        {**base, "order_id": "c", "user_id": "card", "order_time": "2024-12-01", "arrived_at": "2024-12-01"},
        {**base, **when, "order_id": "d", "user_id": "u4"},
        {**base, **when, "order_id": "e", "user_id": "cash"},
        {**base, **when, "order_id": "a", "user_id": "card"},
    ]
    cleaned = clean_orders(raw(spark, "orders", rows), **known(spark))
    assert outcomes(cleaned) == ["good"] * 5 + ["duplicate"]
    found = {row["order_id"]: (row["user_id"], row["arrived_at"].astimezone(UTC)) for row in cleaned.good.collect()}
    noon = datetime(2025, 1, 6, 12, tzinfo=UTC)
    assert found == {
        "a": ("u1", noon),
        "b": ("u2", datetime(2025, 1, 8, 12, tzinfo=UTC)),  # the card is another one's by then
        "c": ("u1", datetime(2025, 1, 1, tzinfo=UTC)),  # nobody knew before
        "d": ("u4", noon),
        "e": ("cash", noon),
    }
    with cleaned.held() as (_, counts):
        assert counts["unknown_users"] == 1


def test_a_browser_without_a_login(spark: SparkSession) -> None:
    base = {"event_time": NOON, "arrived_at": NOON, "event_type": "view"}
    rows = [
        {**base, "event_id": "a", "anonymous_id": "browser"},
        {**base, "event_id": "b", "anonymous_id": "browser", "user_id": "u4", "event_time": "2025-01-06T14:00:00Z",
         "arrived_at": "2025-01-06T14:00:00Z"},
        {**base, "event_id": "c", "anonymous_id": "other"},
        {**base, "event_id": "d", "user_id": "card"},
    ]  # fmt: skip
    cleaned = clean_clicks(raw(spark, "clicks", rows), **known(spark))
    assert outcomes(cleaned) == ["good"] * 4
    found = {row["event_id"]: (row["user_id"], row["arrived_at"].astimezone(UTC)) for row in cleaned.good.collect()}
    noon = datetime(2025, 1, 6, 12, tzinfo=UTC)
    assert found == {
        "a": ("u3", datetime(2025, 1, 7, tzinfo=UTC)),
        "b": ("u4", datetime(2025, 1, 6, 14, tzinfo=UTC)),  # a login says more than whose browser it was
        "c": (None, noon),
        "d": ("u1", noon),
    }
