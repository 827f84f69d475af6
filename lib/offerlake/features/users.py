"""`user_features`: what is known of a user as of a day, for many days in one pass."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from offerlake.config import FeatureSettings
from offerlake.features import events
from offerlake.features.affinity import interests
from offerlake.features.clocks import MONEY_UNIT, days_since, versions, with_version
from offerlake.features.windowed import YEAR, window_sums
from offerlake.schemas.gold import USER_FEATURE_COLUMNS
from offerlake.schemas.silver import OFFER_KINDS


def known_users(as_of: date, *, users: DataFrame, days: DataFrame) -> DataFrame:
    """Everybody of whom there is a row as of a day: in `users` (and not to sign up later), with a click or an order.

    Args:
        as_of: The day.
        users: Silver, whole.
        days: The table `user_days`.

    Returns:
        as_of, user_id; unique.
    """
    day = F.lit(as_of)
    listed = with_version(
        users.select("user_id").distinct().withColumn("as_of", day),
        versions(users, "user_id", ["signup_time"]),
        "user_id",
        day="as_of",
    ).where(F.col("signup_time").isNull() | (F.col("signup_time") < day.cast("timestamp")))
    seen = days.where((F.col("since") <= day) & F.coalesce(*events.FIRSTS).isNotNull())
    everybody = listed.select("user_id").unionByName(seen.select("user_id"))
    return everybody.distinct().select(day.alias("as_of"), "user_id")


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
    sums = window_sums(wanted, days, events.ALL, earliest=events.FIRSTS, latest=events.LASTS)
    dated = with_version(sums, versions(users, "user_id", _ATTRIBUTES), "user_id", day="as_of")
    return _columns(
        dated.join(interests(wanted, category_days), on=["as_of", "user_id"], how="left").join(
            F.broadcast(_shop(as_ofs, days)), on="as_of", how="left"
        ),
        settings,
    )


_ATTRIBUTES = ("signup_time", "age_band", "gender", "region")
_CLICKED = tuple(f"clicked_{kind}" for kind in OFFER_KINDS)


def _shop(as_ofs: Sequence[date], days: DataFrame) -> DataFrame:
    """The whole shop's sums of 364 days, towards which a user's own rates are drawn: as_of and `shop_<name>`."""
    names = ("orders", "spent", "sessions", "offer_views", "offer_clicks", *_CLICKED)
    every_day = days.sparkSession.range(1).select(F.explode(F.lit([*as_ofs])).alias("as_of"))
    together = days.groupBy("event_day", "since").agg(*[F.sum(name).alias(name) for name in names])
    sums = window_sums(every_day, together, dict.fromkeys(names, (YEAR,)), keys=())
    return sums.select("as_of", *[_year(name).alias(f"shop_{name}") for name in names])


def _columns(sums: DataFrame, settings: FeatureSettings) -> DataFrame:
    made = {**_recency(), **_money(settings), **_site(), **_offers(settings)}
    columns = []
    for column in USER_FEATURE_COLUMNS:
        value = made.get(column.name, F.col(column.name))
        columns.append(value.cast(column.type).alias(column.name))
    return sums.select("as_of", "user_id", *columns)


def _year(name: str) -> Column:
    return F.col(f"{name}_{YEAR}d")


def _share(part: Column, whole: Column) -> Column:
    return F.try_divide(part, whole)


def _recency() -> dict[str, Column]:
    first = F.least("signup_time", *events.FIRSTS)
    return {
        "tenure_days": days_since(first, F.col("as_of")),
        "order_recency_days": days_since(F.col("last_order"), F.col("as_of")),
        "visit_recency_days": days_since(F.col("last_click"), F.col("as_of")),
        "exposure_recency_days": days_since(F.col("last_sent"), F.col("as_of")),
    }


def _money(settings: FeatureSettings) -> dict[str, Column]:
    money = {name: F.col(name) / F.lit(MONEY_UNIT) for name in ("money_28d", "money_84d", "money_364d")}
    prior = F.lit(settings.prior_orders)
    typical = (_year("spent") + prior * _share(F.col("shop_spent"), F.col("shop_orders"))) / (_year("orders") + prior)
    return money | {
        "order_value_364d": _share(_year("spent"), _year("orders")) / F.lit(MONEY_UNIT),
        "typical_order_value": typical / F.lit(MONEY_UNIT),
        "returned_share_364d": F.least(F.lit(1.0), _share(_year("returned_units"), _year("units"))),
        "discount_share_364d": F.least(F.lit(1.0), _share(_year("discounts"), _year("gross"))),
        "discounted_share_364d": _share(_year("discounted_lines"), _year("lines")),
    }


def _site() -> dict[str, Column]:
    return {
        "cart_rate_364d": _share(_year("carts"), _year("views")),
        "cart_rate_84d": _share(F.col("carts_84d"), F.col("views_84d")),
        "conversion_84d": _share(F.col("orders_84d"), F.col("sessions_84d")),
        **{name: F.coalesce(F.col(name), F.lit(0)) for name in ("signs_364d", "categories_364d")},
    }


def _offers(settings: FeatureSettings) -> dict[str, Column]:
    def a_session(name: str) -> Column:
        prior = F.lit(settings.prior_sessions)
        shop_mean = _share(F.col(f"shop_{name}"), F.col("shop_sessions"))
        return (_year(name) + prior * shop_mean) / (_year("sessions") + prior)

    return {
        "offer_view_rate": a_session("offer_views"),
        "offer_click_rate": a_session("offer_clicks"),
        **{f"click_rate_{kind}": a_session(name) for kind, name in zip(OFFER_KINDS, _CLICKED, strict=True)},
        "redemption_rate_364d": _share(_year("used"), _year("exposures")),
    }
