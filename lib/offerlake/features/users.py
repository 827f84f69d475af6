"""`user_features`: what is known of a user as of a day, for many days in one pass."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from offerlake.config import ExampleSettings, FeatureSettings
from offerlake.features import events
from offerlake.features.affinity import category_signs
from offerlake.features.catalogue import POSITION_UNIT, monthly_positions
from offerlake.features.clocks import MONEY_UNIT, days_since, versions, with_version
from offerlake.features.labels import with_window
from offerlake.features.running import Days, changes, running
from offerlake.schemas.gold import USER_FEATURE_COLUMNS
from offerlake.schemas.silver import OFFER_KINDS

_FIRSTS = ("first_click", "first_order")
_LASTS = ("last_click", "last_order", "last_sent")
_YEAR = 364


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
    at = Days.of(days)
    positions = monthly_positions(products, first=at.since(_YEAR), last=at.wanted[-1])
    bought = events.purchases(order_lines, positions)
    seen = events.reactions(clicks, offers)
    windowed = with_window(exposures, offers, settings=examples)
    parts = [
        changes(
            events.visits(clicks, positions, session_gap_minutes=session_gap_minutes),
            events.VISITS,
            at,
            earliest=["first_click"],
            latest=["last_click"],
        ),
        changes(seen, events.REACTIONS, at),
        changes(bought, events.PURCHASES, at, earliest=["first_order"], latest=["last_order"]),
        changes(events.sendings(windowed, redemptions), events.SENDINGS, at, latest=["last_sent"]),
        changes(events.redeemed(redemptions), events.REDEEMED, at),
    ]
    sums = running(wanted, parts, earliest=_FIRSTS, latest=_LASTS)
    dated = with_version(sums, versions(users, "user_id", _ATTRIBUTES), "user_id", day="as_of")
    return _columns(
        dated.join(
            category_signs(wanted, at, clicks=clicks, order_lines=order_lines, products=products),
            on=["as_of", "user_id"],
            how="left",
        ).join(F.broadcast(_shop(at, bought, seen)), on="as_of", how="left"),
        settings,
    )


_ATTRIBUTES = ("signup_time", "age_band", "gender", "region")


def _shop(at: Days, bought: DataFrame, seen: DataFrame) -> DataFrame:
    """The whole shop's numbers by as_of, towards which a user's own are drawn; columns `shop_<name>`."""
    spending = {"orders": (_YEAR,), "spent": (_YEAR,)}
    parts = [changes(bought, spending, at, keys=()), changes(seen, events.REACTIONS, at, keys=())]
    every_day = bought.sparkSession.range(1).select(
        F.explode(F.array(*[F.lit(day) for day in at.wanted])).alias("as_of")
    )
    totals = running(every_day, parts, keys=(), near=None)
    return totals.select("as_of", *[F.col(name).alias(f"shop_{name}") for name in totals.columns if name != "as_of"])


def _columns(sums: DataFrame, settings: FeatureSettings) -> DataFrame:
    made = {**_recency(), **_money(settings), **_site(), **_offers(settings)}
    columns = []
    for column in USER_FEATURE_COLUMNS:
        value = made.get(column.name, F.col(column.name))
        columns.append(value.cast(column.type).alias(column.name))
    return sums.select("as_of", "user_id", *columns)


def _year(name: str) -> Column:
    return F.col(f"{name}_{_YEAR}d")


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
    shop_value = _share(F.col(f"shop_spent_{_YEAR}d"), F.col(f"shop_orders_{_YEAR}d"))
    prior = F.lit(settings.prior_orders)
    typical = (_year("spent") + prior * shop_value) / (_year("orders") + prior)
    return money | {
        "order_value_364d": _share(_year("spent"), _year("orders")) / F.lit(MONEY_UNIT),
        "typical_order_value": typical / F.lit(MONEY_UNIT),
        "returned_share_364d": F.least(F.lit(1.0), _share(_year("returned_units"), _year("units"))),
        "discount_share_364d": F.least(F.lit(1.0), _share(_year("discounts"), _year("gross"))),
        "discounted_share_364d": _share(_year("discounted_lines"), _year("lines")),
        "bought_price_position_364d": _share(_year("bought_position"), _year("placed_lines")) / F.lit(POSITION_UNIT),
    }


def _site() -> dict[str, Column]:
    return {
        "cart_rate_84d": _share(F.col("carts_84d"), F.col("views_84d")),
        "conversion_84d": _share(F.col("orders_84d"), F.col("sessions_84d")),
        "viewed_price_position_364d": _share(_year("view_position"), _year("placed_views")) / F.lit(POSITION_UNIT),
        **{name: F.coalesce(F.col(name), F.lit(0)) for name in ("signs_364d", "categories_364d")},
    }


def _offers(settings: FeatureSettings) -> dict[str, Column]:
    def summed(prefix: str) -> Column:
        total = F.lit(0).cast("bigint")
        for kind in OFFER_KINDS:
            total = total + _year(f"{prefix}_{kind}")
        return total

    def rate(clicked: Column, seen: Column, shop_clicked: Column, shop_seen: Column) -> Column:
        prior = F.lit(settings.prior_views)
        # A click without its view is a view too.
        return F.least(
            F.lit(1.0), (clicked + prior * _share(shop_clicked, shop_seen)) / (F.greatest(seen, clicked) + prior)
        )

    rates = {
        f"click_rate_{kind}": rate(
            *[_year(f"{of}{what}_{kind}") for of in ("", "shop_") for what in ("clicked", "seen")]
        )
        for kind in OFFER_KINDS
    }
    every = rate(*[summed(f"{of}{what}") for of in ("", "shop_") for what in ("clicked", "seen")])
    return rates | {
        "offer_click_rate_364d": every,
        "redemption_rate_364d": _share(_year("used"), _year("exposures")),
    }
