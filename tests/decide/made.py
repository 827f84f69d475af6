"""A small shop: five users, four offers."""

from __future__ import annotations

from datetime import UTC, date, datetime
from typing import Any

from pyspark.sql import DataFrame, SparkSession

from offerlake.decide.assignment import Catalogue
from offerlake.schemas import table
from offerlake.windows import midnight

DAY = date(2025, 9, 3)
EARLY = midnight(date(2025, 1, 6))


def frame(spark: SparkSession, name: str, rows: list[dict[str, Any]]) -> DataFrame:
    """Rows of a table, columns that are left out null."""
    contract = table(name)
    return spark.createDataFrame(
        [tuple(row.get(column) for column in contract.names) for row in rows], schema=contract.struct
    )


def offer(offer_id: str, **fields: Any) -> dict[str, Any]:
    """An offer that is valid around `DAY`."""
    return {
        "offer_id": offer_id,
        "arrived_at": EARLY,
        "kind": "percent_off",
        "scope": "all",
        "scope_values": [],
        "valid_from": EARLY,
        "valid_to": midnight(date(2026, 1, 1)),
        **fields,
    }


def user(user_id: str, **fields: Any) -> dict[str, Any]:
    """A user who consents."""
    consents = {"consent_marketing": True, "consent_profiling": True}
    return {"user_id": user_id, "arrived_at": EARLY, "attributes": {}, **consents, **fields}


def score(user_id: str, offer_id: str, value: float, cost: float, **fields: Any) -> dict[str, Any]:
    """A row of `offer_scores`."""
    return {
        "as_of": DAY,
        "user_id": user_id,
        "offer_id": offer_id,
        "channel": "email",
        "p_response": 0.06,
        "p_no_offer": 0.04,
        "p_redeem": 0.03,
        "uplift": 0.02,
        "order_margin": 20.0,
        "redemption_cost": 5.0,
        "contact_cost": 0.01,
        "expected_margin": value,
        "expected_cost": cost,
        "model_version": "m1",
        **fields,
    }


def small_shop(spark: SparkSession) -> Catalogue:
    """Five users (one without consent, one without offers), four offers, four products, of which o1 is about two."""
    items = [(name, 1.0 - 0.1 * n, "als") for n, name in enumerate(["p3", "p1", "p2", "p4"])]
    scoped = {"o1": ["p1", "p2"]}
    users = [*(user(f"u{k}") for k in range(1, 4)), user("u4", consent_marketing=False), user("u5")]
    offers = [
        offer("o1", depth=0.1, scope="category", scope_values=["Dairy"]),
        offer("o2", depth=0.2, valid_to=midnight(date(2025, 9, 10))),
        offer("o3", kind="gift"),
        offer("o4", kind="content"),
    ]
    return Catalogue(
        users=frame(spark, "users", users),
        offers=frame(spark, "offers", offers),
        redemptions=frame(spark, "redemptions", []),
        candidates=frame(
            spark,
            "candidates",
            [{"as_of": DAY, "user_id": f"u{k}", "items": items, "scoped": scoped} for k in range(1, 6)],
        ),
    )


def utc(moment: datetime) -> datetime:
    """A timestamp as Spark hands it back (naive, in the machine's zone), in UTC."""
    return moment.astimezone(UTC)


def features(user_id: str, order_value: float | None) -> dict[str, Any]:
    """A row of `user_features`, zeros and empty texts but for the order value."""
    zeros = {"int": 0, "double": 0.0, "string": ""}
    row = {column.name: zeros.get(column.type) for column in table("user_features").columns}
    return {**row, "as_of": DAY, "user_id": user_id, "typical_order_value": order_value}
