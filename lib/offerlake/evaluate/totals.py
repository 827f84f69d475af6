"""What a run assigned, summed up."""

from __future__ import annotations

from collections.abc import Iterator

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from offerlake.evaluate.truth import Number

ARMS = ("model", "explore", "holdout")


def totals(user_offers: DataFrame) -> dict[str, dict[str, float]]:
    """Sums by arm, zeros for an arm without users.

    Args:
        user_offers: Rows of one run.

    Returns:
        Arm to users, offers (users with one), spend (expected cost), value (expected value, by the models).
    """
    rows = (
        user_offers.groupBy("arm")
        .agg(
            F.count("user_id").alias("users"),
            F.count("offer_id").alias("offers"),
            F.sum("expected_cost").alias("spend"),
            F.sum("expected_value").alias("value"),
        )
        .collect()
    )
    empty = dict.fromkeys(("users", "offers", "spend", "value"), 0.0)
    found = {row["arm"]: {name: float(row[name]) for name in empty} for row in rows}
    return {arm: found.get(arm, empty) for arm in ARMS}


def by_arm(sums: dict[str, dict[str, float]]) -> Iterator[tuple[Number, str]]:
    """Numbers and their slices: `offers.users`, `offers.assigned`, `offers.spend` by arm, `offers.spend` in all."""
    for arm, found in sums.items():
        yield Number("offers.users", found["users"]), f"arm={arm}"
        yield Number("offers.assigned", found["offers"]), f"arm={arm}"
        yield Number("offers.spend", found["spend"]), f"arm={arm}"
    yield Number("offers.spend", sum(found["spend"] for found in sums.values())), "all"
    yield Number("offers.assigned", sum(found["offers"] for found in sums.values())), "all"
