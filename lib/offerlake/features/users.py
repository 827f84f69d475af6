"""`user_features`: what is known of a user as of a day, for many days in one pass."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, timedelta

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from offerlake.config import ExampleSettings, FeatureSettings
from offerlake.features import events
from offerlake.features.affinity import interests
from offerlake.features.catalogue import monthly_positions
from offerlake.features.clocks import MONEY_UNIT, days_since, versions, with_version
from offerlake.features.labels import with_window
from offerlake.features.windowed import YEAR, window_sums
from offerlake.schemas.gold import USER_FEATURE_COLUMNS
from offerlake.schemas.silver import OFFER_KINDS

_FIRSTS = ("first_click", "first_order")
_LASTS = ("last_click", "last_order", "last_sent")


def known_users(as_of: date, *, users: DataFrame, clicks: DataFrame, order_lines: DataFrame) -> DataFrame:
    """Everybody of whom there is a row as of a day: in `users` (and not to sign up later), with a click or an order.

    Returns:
        as_of, user_id; unique.
    """
    day = F.lit(as_of)
    start = day.cast("timestamp")
    listed = with_version(
        users.select("user_id").distinct().withColumn("as_of", day),
        versions(users, "user_id", ["signup_time"]),
        "user_id",
        day="as_of",
    ).where(F.col("signup_time").isNull() | (F.col("signup_time") < start))
    clicked = clicks.where((F.greatest("event_time", "arrived_at") < start) & F.col("user_id").isNotNull())
    ordered = order_lines.where(F.greatest("order_time", "arrived_at") < start)
    everybody = listed.select("user_id").unionByName(clicked.select("user_id")).unionByName(ordered.select("user_id"))
    return everybody.distinct().select(day.alias("as_of"), "user_id")


def user_features(
    wanted: DataFrame,
    *,
    days: Sequence[date],
    clicks: DataFrame,
    order_lines: DataFrame,
    exposures: DataFrame,
    redemptions: DataFrame,
    offers: DataFrame,
    products: DataFrame,
    users: DataFrame,
    settings: FeatureSettings,
    examples: ExampleSettings,
    session_gap_minutes: int,
) -> DataFrame:
    """The USER_FEATURE_COLUMNS of the wanted users and days.

    Args:
        wanted: as_of, user_id, unique; every as_of is one of `days`.
        days: As of which days; each costs little more than the rows it wants.
        clicks: Silver, whole.
        order_lines: Silver, whole.
        exposures: Silver, whole.
        redemptions: Silver, whole.
        offers: Silver, whole.
        products: Silver, whole.
        users: Silver, whole.
        settings: margin and smoothing.
        examples: What the label window is, for the share of sent offers that were used.
        session_gap_minutes: The pause that ends a session.

    Returns:
        as_of, user_id and USER_FEATURE_COLUMNS; one row for each of `wanted`.
    """
    bought = events.purchases(order_lines)
    rows = events.visits(clicks, offers, session_gap_minutes=session_gap_minutes)
    windowed = with_window(exposures, offers, settings=examples)
    for part in (bought, events.sendings(windowed, redemptions), events.redeemed(redemptions)):
        rows = rows.unionByName(part, allowMissingColumns=True)
    sums = window_sums(wanted, rows, events.ALL, earliest=_FIRSTS, latest=_LASTS)
    first = min(days) - timedelta(days=YEAR)
    positions = monthly_positions(products, first=first, last=max(days))
    signed = interests(wanted, positions, clicks=clicks, order_lines=order_lines, products=products)
    dated = with_version(sums, versions(users, "user_id", _ATTRIBUTES), "user_id", day="as_of")
    shop = _shop(days, bought, events.reactions(clicks, offers))
    return _columns(
        dated.join(signed, on=["as_of", "user_id"], how="left").join(F.broadcast(shop), on="as_of", how="left"),
        settings,
    )


_ATTRIBUTES = ("signup_time", "age_band", "gender", "region")


def _shop(days: Sequence[date], bought: DataFrame, reacted: DataFrame) -> DataFrame:
    """The whole shop's numbers, towards which a user's own are drawn.

    Returns:
        as_of, shop_value (ten-thousandths, an order's mean), shop_rate (clicks over views of offers), shop_rates (the
        same by kind, a map).
    """
    every_day = bought.sparkSession.range(1).select(F.explode(F.lit([*days])).alias("as_of"))
    spending = bought.groupBy("event_day", "since").agg(F.sum("orders").alias("orders"), F.sum("spent").alias("spent"))
    spent = window_sums(every_day, spending, {"orders": (YEAR,), "spent": (YEAR,)}, keys=())
    kinds = every_day.withColumn("offer_kind", F.explode(F.lit([*OFFER_KINDS])))
    clicked = window_sums(kinds, reacted, {"seen": (YEAR,), "clicked": (YEAR,)}, keys=("offer_kind",))
    rate = _share(_year("clicked"), F.greatest(_year("seen"), _year("clicked")))
    rates = clicked.groupBy("as_of").agg(
        _share(F.sum(_year("clicked")), F.sum(F.greatest(_year("seen"), _year("clicked")))).alias("shop_rate"),
        F.map_from_entries(F.collect_list(F.struct("offer_kind", rate))).alias("shop_rates"),
    )
    value = _share(_year("spent"), _year("orders")).alias("shop_value")
    return spent.select("as_of", value).join(rates, on="as_of", how="left")


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
    first = F.least("signup_time", *_FIRSTS)
    return {
        "tenure_days": days_since(first, F.col("as_of")),
        "order_recency_days": days_since(F.col("last_order"), F.col("as_of")),
        "visit_recency_days": days_since(F.col("last_click"), F.col("as_of")),
        "exposure_recency_days": days_since(F.col("last_sent"), F.col("as_of")),
    }


def _money(settings: FeatureSettings) -> dict[str, Column]:
    money = {name: F.col(name) / F.lit(MONEY_UNIT) for name in ("money_28d", "money_84d", "money_364d")}
    prior = F.lit(settings.prior_orders)
    typical = (_year("spent") + prior * F.col("shop_value")) / (_year("orders") + prior)
    return money | {
        "order_value_364d": _share(_year("spent"), _year("orders")) / F.lit(MONEY_UNIT),
        "typical_order_value": typical / F.lit(MONEY_UNIT),
        "returned_share_364d": F.least(F.lit(1.0), _share(_year("returned_units"), _year("units"))),
        "discount_share_364d": F.least(F.lit(1.0), _share(_year("discounts"), _year("gross"))),
        "discounted_share_364d": _share(_year("discounted_lines"), _year("lines")),
    }


def _site() -> dict[str, Column]:
    return {
        "cart_rate_84d": _share(F.col("carts_84d"), F.col("views_84d")),
        "conversion_84d": _share(F.col("orders_84d"), F.col("sessions_84d")),
        **{name: F.coalesce(F.col(name), F.lit(0)) for name in ("signs_364d", "categories_364d")},
    }


def _offers(settings: FeatureSettings) -> dict[str, Column]:
    def summed(prefix: str) -> Column:
        total = F.lit(0).cast("bigint")
        for kind in OFFER_KINDS:
            total = total + _year(f"{prefix}_{kind}")
        return total

    def rate(clicked: Column, seen: Column, shop_rate: Column) -> Column:
        # A click without its view is a view too.
        return (clicked + prior * shop_rate) / (F.greatest(seen, clicked) + prior)

    prior = F.lit(settings.prior_views)
    rates = {
        f"click_rate_{kind}": rate(_year(f"clicked_{kind}"), _year(f"seen_{kind}"), F.col("shop_rates")[kind])
        for kind in OFFER_KINDS
    }
    every = rate(summed("clicked"), summed("seen"), F.col("shop_rate"))
    return rates | {
        "offer_click_rate_364d": every,
        "redemption_rate_364d": _share(_year("used"), _year("exposures")),
    }
