"""Recommendations of anybody's making against what users then did: all metrics with intervals, whole and by segment."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from offerlake.errors import DataError
from offerlake.evaluate.bootstrap import Estimate, poisson_groups, poisson_means
from offerlake.evaluate.ranking import per_user, ranked, truth_of
from offerlake.evaluate.variety import of_all, per_list, popularity

_MOST_SEGMENTS = 50


@dataclass(frozen=True)
class Beside:
    """What else is known; None: not.

    Attributes:
        history: user_id, product_id: who had what before. Gives novelty, popularity, and who is cold (had nothing).
        products: product_id, category: the catalogue. Gives coverage and diversity.
        segments: user_id, segment: users without one are in no segment.
    """

    history: DataFrame | None = None
    products: DataFrame | None = None
    segments: DataFrame | None = None


def judge(
    recommendations: DataFrame,
    truth: DataFrame,
    *,
    ks: Sequence[int],
    beside: Beside,
    count_empty_truth: bool,
    samples: int,
    seed: int,
) -> dict[str, Any]:
    """The metrics of `ranking` and `variety`, as means over users with 95 % intervals by the bootstrap over users.

    Args:
        recommendations: user_id, product_id, and rank or score.
        truth: user_id, product_id, and relevance where it is graded.
        ks: How many of the first places count.
        beside: What else is known.
        count_empty_truth: Users with recommendations and no truth count 0, as Spark's RankingMetrics has it.
        samples: Bootstrap samples.
        seed: Of the bootstrap's draws.

    Returns:
        Metric to value, with `x_low` and `x_high`; users (judged), users_without_recommendations (of those),
        users_without_truth (of the others); `cold` and `segments`: the same of some users.

    Raises:
        ConfigError: A k is below 1.
        DataError: Nobody has a truth item, or there are too many segments.
    """
    shown = ranked(recommendations).cache()
    scored = per_user(shown, truth, ks=ks).cache()
    lists = shown.select("user_id").distinct()
    with_truth = scored.select("user_id")
    empty = lists.join(with_truth, on="user_id", how="left_anti").cache()
    counts = {
        "users_without_recommendations": with_truth.join(lists, on="user_id", how="left_anti").count(),
        "users_without_truth": empty.count(),
    }
    if scored.isEmpty():
        raise DataError("truth: no user has an item in it", fix="Give what users did after they were recommended to.")
    zeros = [F.lit(0.0).alias(name) for name in scored.columns if name != "user_id"]
    judged = scored.unionByName(empty.select("user_id", *zeros)) if count_empty_truth else scored
    found = _means(judged, samples=samples, seed=seed) | counts
    found |= _variety(shown, truth, judged, sorted(set(ks)), beside, samples=samples, seed=seed)
    if beside.history is not None:
        had = beside.history.select("user_id").distinct()
        found["cold"] = _means(judged.join(had, on="user_id", how="left_anti"), samples=samples, seed=seed)
    if beside.segments is not None:
        found["segments"] = _by_segment(judged, beside.segments, samples=samples, seed=seed)
    for frame in (shown, scored, empty):
        frame.unpersist()
    return found


def _variety(
    shown: DataFrame,
    truth: DataFrame,
    judged: DataFrame,
    ks: Sequence[int],
    beside: Beside,
    *,
    samples: int,
    seed: int,
) -> dict[str, Any]:
    """Of the lists of judged users."""
    theirs = shown.join(judged.select("user_id"), on="user_id", how="left_semi")
    found: dict[str, Any] = {}
    if beside.history is not None or beside.products is not None:
        lists = per_list(theirs, ks=ks, history=beside.history, products=beside.products).cache()
        for name in lists.columns:
            if name != "user_id":
                known = lists.select("user_id", name).where(F.col(f"`{name}`").isNotNull())
                found |= _flat(poisson_means(known, key="user_id", samples=samples, seed=seed)[1])
        lists.unpersist()
    if beside.products is not None:
        found |= of_all(theirs, beside.products, ks=ks)
    if beside.history is not None:
        wanted = truth_of(truth).join(popularity(beside.history), on="product_id", how="left")
        shares = wanted.groupBy("user_id").agg(F.avg(F.coalesce("popularity", F.lit(0.0))).alias("popularity_truth"))
        found |= _flat(poisson_means(shares, key="user_id", samples=samples, seed=seed)[1])
    return found


def _by_segment(judged: DataFrame, segments: DataFrame, *, samples: int, seed: int) -> dict[str, dict[str, Any]]:
    one = segments.groupBy("user_id").agg(F.min("segment").alias("segment"))
    placed = judged.join(one, on="user_id", how="inner").cache()
    if placed.select("segment").distinct().limit(_MOST_SEGMENTS + 1).count() > _MOST_SEGMENTS:
        raise DataError(f"segments: more than {_MOST_SEGMENTS} of them", fix="Give the coarser ones.")
    found = poisson_groups(placed, key="user_id", by=["segment"], samples=samples, seed=seed)
    placed.unpersist()
    return {name: {"users": users} | _flat(means) for (column, name), (users, means) in found.items() if column}


def _means(frame: DataFrame, *, samples: int, seed: int) -> dict[str, Any]:
    users, means = poisson_means(frame, key="user_id", samples=samples, seed=seed)
    return {"users": users} | _flat(means)


def _flat(means: Mapping[str, Estimate]) -> dict[str, Any]:
    return {
        f"{name}{end}": getattr(mean, part)
        for name, mean in means.items()
        for end, part in (("", "value"), ("_low", "low"), ("_high", "high"))
    }
