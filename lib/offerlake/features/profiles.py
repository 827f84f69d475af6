"""`user_profiles`: what each user likes and how he shops, as shares, for people, reports and reasons."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, timedelta

from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F

from offerlake.config import FeatureSettings
from offerlake.features.affinity import days_by, signs_by
from offerlake.features.catalogue import signs
from offerlake.features.clocks import counts_from
from offerlake.features.habits import day_part, local_time
from offerlake.features.windowed import YEAR
from offerlake.schemas.gold import USER_PROFILES
from offerlake.schemas.user_features import DAY_PARTS

_MAPS = ("category_affinity", "brand_affinity", "channels", "day_parts", "search_terms")


def user_profiles(
    as_ofs: Sequence[date],
    category_days: DataFrame,
    *,
    clicks: DataFrame,
    order_lines: DataFrame,
    products: DataFrame,
    settings: FeatureSettings,
) -> DataFrame:
    """The table `user_profiles`, of users with a click or a bought line in a year.

    Args:
        as_ofs: As of which days.
        category_days: The table `user_category_days`.
        clicks: Silver, whole.
        order_lines: Silver, whole.
        products: Silver, whole.
        settings: Zone, and how many brands and search terms are kept.
    """
    brand_days = days_by("brand", signs(clicks, order_lines), products)
    recent = clicks.where(F.col("event_date") >= F.lit(min(as_ofs) - timedelta(days=YEAR)))
    told = (
        _named("category_affinity", category_days, F.col("category"))
        .unionByName(_named("brand_affinity", brand_days, F.col("brand")))
        .unionByName(_habit_days(recent, zone=settings.time_zone))
    )
    counted = signs_by("habit", as_ofs, told).select("as_of", "user_id", "habit.*", "signs")
    limits = {"brand_affinity": settings.brand_limit, "search_terms": settings.search_term_limit}
    return USER_PROFILES.select(_maps(counted, limits))


def _named(kind: str, days: DataFrame, name: Column) -> DataFrame:
    habit = F.struct(F.lit(kind).alias("kind"), name.alias("name")).alias("habit")
    return days.select("user_id", habit, "event_day", "since", "known_to", "signs")


def _habit_days(clicks: DataFrame, *, zone: str) -> DataFrame:
    """Clicks by user, day and what they tell of his habits: one pass for channels, parts of the day and search terms.

    Returns:
        user_id, habit (kind, one of `_MAPS`, and name), event_day, since, known_to (dates), signs (bigint, > 0).
    """
    part = F.element_at(F.lit([*DAY_PARTS]), day_part(local_time(F.col("event_time"), zone)) + 1)
    # However it was typed, it is one term.
    term = F.when(F.col("event_type") == "search", F.trim(F.regexp_replace(F.lower("query"), r"\s+", " ")))
    names = {"channels": F.col("channel"), "day_parts": part, "search_terms": term}
    told = [F.struct(F.lit(kind).alias("kind"), name.alias("name")) for kind, name in names.items()]
    each = clicks.where(F.col("user_id").isNotNull()).select(
        "user_id",
        F.col("event_date").alias("event_day"),
        counts_from(F.col("event_time"), F.col("arrived_at")).alias("since"),
        F.explode(F.array(*told)).alias("habit"),
    )
    return (
        each.where(F.col("habit.name") != "")
        .groupBy("user_id", "habit", "event_day", "since", F.lit(date.max).alias("known_to"))
        .agg(F.count(F.lit(1)).alias("signs"))
    )


def _maps(counted: DataFrame, limits: dict[str, int]) -> DataFrame:
    """One row a user and day with a map of each kind from name to its share, strongest first; empty without any.

    Args:
        counted: as_of, user_id, kind (one of `_MAPS`), name, signs.
        limits: Of some kinds, how many are kept.
    """
    of_kind = Window.partitionBy("as_of", "user_id", "kind").orderBy(F.col("signs").desc(), "name")
    every = of_kind.rowsBetween(Window.unboundedPreceding, Window.unboundedFollowing)  # in one order, sorted once
    share = F.col("signs") / F.sum("signs").over(every)
    ranked = counted.withColumns({"share": share, "rank": F.row_number().over(of_kind)})
    kept = F.lit(True)
    for kind, limit in limits.items():
        kept &= (F.col("kind") != kind) | (F.col("rank") <= limit)

    def shares(kind: str) -> Column:
        entries = F.sort_array(F.collect_list(F.when(F.col("kind") == kind, F.struct("rank", "name", "share"))))
        return F.map_from_entries(F.transform(entries, lambda entry: F.struct(entry["name"], entry["share"])))

    return ranked.where(kept).groupBy("as_of", "user_id").agg(*[shares(kind).alias(kind) for kind in _MAPS])
