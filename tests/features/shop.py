"""Small silver tables written by hand: rows name only what matters, the rest is filled in."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

from pyspark.sql import DataFrame, SparkSession

from offerlake.config import Settings
from offerlake.features.affinity import user_category_days
from offerlake.features.events import user_days
from offerlake.schemas import table

Row = Mapping[str, Any]
LONG_AGO = "2024-12-01"

_DEFAULTS: dict[str, dict[str, Any]] = {
    "clicks": {"event_type": "view", "session_id": "s", "known_product": True},
    "order_lines": {"line_id": "1", "quantity": 1, "unit_price": 10, "discount": 0, "known_product": True},
    "products": {"arrived_at": LONG_AGO, "category": "Food > Fruit"},
    "users": {"arrived_at": LONG_AGO, "attributes": {}},
    "offers": {
        "arrived_at": LONG_AGO, "kind": "percent_off", "scope": "all", "scope_values": [],
        "valid_from": "2025-01-01", "valid_to": "2026-01-01",
    },
    "offer_products": {"coupon_id": ""},
    "exposures": {"policy": "test"},
    "redemptions": {},
}  # fmt: skip
_CLOCK = {
    "clicks": ("event_time", "event_date"),
    "order_lines": ("order_time", "order_date"),
    "exposures": ("shown_at", "shown_date"),
    "redemptions": ("redeemed_at", "redeemed_date"),
}
_ID = {"clicks": "event_id", "order_lines": "order_id", "exposures": "exposure_id", "redemptions": "redemption_id"}


def moment(text: str) -> datetime:
    """`2025-03-01` or `2025-03-01 12:30` in UTC."""
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def day(text: str) -> date:
    """A date."""
    return date.fromisoformat(text)


def _completed(name: str, number: int, row: Row) -> tuple[Any, ...]:
    full: dict[str, Any] = {**_DEFAULTS[name], **row}
    if name in _CLOCK:
        clock, partition = _CLOCK[name]
        full.setdefault("arrived_at", full[clock])
        full[partition] = day(full[clock][:10])
        full.setdefault(_ID[name], f"{name}-{number}")
    if name == "order_lines":
        full.setdefault("net_amount", full["quantity"] * full["unit_price"] - full["discount"])
    values = []
    for column in table(name).columns:
        value = full.get(column.name)
        if column.type == "timestamp" and isinstance(value, str):
            value = moment(value)
        if column.type.startswith("decimal") and value is not None:
            value = Decimal(str(value))
        values.append(value)
    return tuple(values)


@dataclass(frozen=True)
class Shop:
    """All silver tables that features read."""

    clicks: DataFrame
    order_lines: DataFrame
    exposures: DataFrame
    redemptions: DataFrame
    offers: DataFrame
    offer_products: DataFrame
    products: DataFrame
    users: DataFrame

    def tables(self, *names: str) -> dict[str, DataFrame]:
        """The named tables, or all, as keyword arguments."""
        return {name: getattr(self, name) for name in names or [each.name for each in fields(self)]}


def shop(spark: SparkSession, **rows: Sequence[Row]) -> Shop:
    """Makes the tables; those not named are empty."""
    frames = {}
    for name in (each.name for each in fields(Shop)):
        data = [_completed(name, number, row) for number, row in enumerate(rows.get(name, ()))]
        frames[name] = spark.createDataFrame(data, schema=table(name).struct)
    return Shop(**frames)


def activity(made: Shop, settings: Settings) -> dict[str, DataFrame]:
    """What `build_activity` makes of it, by the names that features take it under."""
    days = user_days(
        **made.tables("clicks", "order_lines", "exposures", "redemptions", "offers"),
        features=settings.features,
        examples=settings.examples,
        session_gap_minutes=30,
    )
    return {
        "days": days.persist(),
        "category_days": user_category_days(**made.tables("clicks", "order_lines", "products")).persist(),
    }


def hours_before(text: str, hours: float) -> str:
    """The moment so many hours before, in the form in which rows are written."""
    return (moment(text) - timedelta(hours=hours)).strftime("%Y-%m-%d %H:%M:%S")
