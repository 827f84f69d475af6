"""The report's part on customers: their stages and segments, and how well purchases and money were foreseen."""

from __future__ import annotations

from typing import Any

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from offerlake.evaluate.customer_value import BOOSTED, MODEL, RATE
from offerlake.evaluate.facts import Facts, Segment, Stage
from offerlake.schemas.user_features import STAGES

_WHO = (
    ("Offerlake, from how often and how lately they bought", MODEL),
    ("Boosted trees", BOOSTED),
    ("Each customer's past rate", RATE),
)
_WHAT = (("Purchases", "purchases"), ("Money", "money"))


def stages(features: DataFrame) -> tuple[Stage, ...]:
    """How many rows of `user_features` of one day are at each stage; stages without any are left out."""
    counted = {row["lifecycle_stage"]: row["count"] for row in features.groupBy("lifecycle_stage").count().collect()}
    everybody = sum(counted.values())
    return tuple(Stage(name, counted[name], counted[name] / everybody) for name in STAGES if name in counted)


def segments(profiles: DataFrame) -> tuple[Segment, ...]:
    """The rows of `segment_profiles` of one day, the largest first; as many as there are segments."""
    rows = (
        profiles.orderBy(F.desc("users"), "segment")
        .select("name", "users", "share", "orders_364d", "money_364d", "clv")
        .collect()
    )
    return tuple(Segment(*row) for row in rows)


def foreseen(facts: Facts) -> list[dict[str, Any]]:
    """Who foresaw what in the days kept for that, purchases first; empty where nobody could be judged."""
    return [
        {
            "what": what,
            "who": who,
            "rmse": facts.metric(f"{name}.{measure}.rmse"),
            "calibration": facts.metric(f"{name}.{measure}.calibration").value,
            "rank": facts.metric(f"{name}.{measure}.rank_correlation").value,
            "gain": facts.metric(f"{name}.{measure}.gain"),
            "ours": name == MODEL,
        }
        for what, measure in _WHAT
        for who, name in _WHO
        if facts.metric(f"{name}.{measure}.rmse").value is not None
    ]
