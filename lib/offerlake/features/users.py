"""`user_features`: what is known of a user as of a day, for many days in one pass."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from offerlake.config import FeatureSettings
from offerlake.features import events
from offerlake.features.affinity import interests
from offerlake.features.clocks import days_since, versions, with_version
from offerlake.features.windowed import YEAR, Days, window_sums
from offerlake.schemas.user_features import FEATURES, shop_sums, sums_ever, windows_of
from offerlake.windows import utc_day


def known_users(as_ofs: Sequence[date], *, users: DataFrame, days: DataFrame) -> DataFrame:
    """Everybody of whom there is a row as of each day: in `users` (and not to sign up later), with a click or an order.

    Args:
        as_ofs: The days.
        users: Silver, whole.
        days: The table `user_days`.

    Returns:
        as_of, user_id; unique.
    """
    wanted = Days(as_ofs)
    signed_up = F.greatest("known_from", F.date_add(utc_day(F.col("signup_time")), 1)).alias("begin")
    listed = versions(users, "user_id", ["signup_time"]).select("user_id", signed_up, F.col("known_to").alias("end"))
    seen = days.where(F.coalesce(*events.FIRSTS).isNotNull()).groupBy("user_id").agg(F.min("since").alias("begin"))
    spans = listed.unionByName(seen, allowMissingColumns=True).repartition("user_id")
    each = wanted.spread(spans, wanted.place(F.col("begin")), wanted.place(F.col("end")))
    return each.select("as_of", "user_id").distinct()


def user_features(
    wanted: DataFrame,
    *,
    as_ofs: Sequence[date],
    days: DataFrame,
    category_days: DataFrame,
    users: DataFrame,
    settings: FeatureSettings,
) -> DataFrame:
    """The USER_FEATURE_COLUMNS of the wanted users and days.

    Args:
        wanted: as_of, user_id, unique; every as_of is one of `as_ofs`.
        as_ofs: As of which days; each costs little more than the rows it wants.
        days: The table `user_days`.
        category_days: The table `user_category_days`.
        users: Silver, whole.
        settings: Smoothing.

    Returns:
        as_of, user_id and USER_FEATURE_COLUMNS; one row for each of `wanted`.
    """
    sums = window_sums(
        wanted,
        days,
        windows_of(events.SUMS),
        as_ofs=as_ofs,
        ever=sums_ever(),
        earliest=events.FIRSTS,
        latest=events.LASTS,
    )
    dated = with_version(sums, versions(users, "user_id", _ATTRIBUTES), "user_id", day="as_of")
    known = dated.join(interests(as_ofs, category_days), on=["as_of", "user_id"], how="left").join(
        F.broadcast(_shop(as_ofs, days)), on="as_of", how="left"
    )
    ages = {f"{name}_age": days_since(F.col(name), F.col("as_of")) for name in _MOMENTS}
    stages = settings.lifecycle
    given = {
        "prior_orders": F.lit(settings.prior_orders),
        "prior_sessions": F.lit(settings.prior_sessions),
        "prior_offers": F.lit(settings.prior_offers),
        "new_days": F.lit(stages.new_days),
        "loyal_orders": F.lit(stages.loyal_orders),
        "cooling_gaps": F.lit(stages.cooling_gaps),
        "dormant_gaps": F.lit(stages.dormant_gaps),
        "lapsed_days": F.lit(stages.lapsed_days),
    }
    columns = [F.expr(feature.formula).cast(feature.type).alias(feature.name) for feature in FEATURES]
    return known.withColumns({**ages, **given}).select("as_of", "user_id", *columns)


_ATTRIBUTES = ("signup_time", "age_band", "gender", "region")
_MOMENTS = ("signup_time", *events.FIRSTS, *events.LASTS)


def _shop(as_ofs: Sequence[date], days: DataFrame) -> DataFrame:
    """The whole shop's sums of 364 days, towards which a user's own rates are drawn: as_of and `shop_<name>`."""
    names = shop_sums()
    every_day = days.sparkSession.range(1).select(F.explode(F.lit([*as_ofs])).alias("as_of"))
    together = days.groupBy("event_day", "since").agg(*[F.sum(name).alias(name) for name in names])
    sums = window_sums(every_day, together, dict.fromkeys(names, (YEAR,)), as_ofs=as_ofs, keys=())
    return sums.select("as_of", *[F.col(f"{name}_{YEAR}d").alias(f"shop_{name}") for name in names])
