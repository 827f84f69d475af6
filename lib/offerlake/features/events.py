"""What users did, as rows for `windowed.window_sums`: by the day it happened and the day from which it counts."""

from __future__ import annotations

from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F

from offerlake.config import ExampleSettings, FeatureSettings
from offerlake.features.clocks import counts_from, whole_money
from offerlake.features.habits import at_weekend, day_part, is_one_of, local_time
from offerlake.features.labels import with_window
from offerlake.features.outliers import winsorised
from offerlake.features.rhythm import with_rhythm
from offerlake.features.sendings import redeemed, sendings
from offerlake.features.telling import Telling, told_as
from offerlake.schemas.gold import PURCHASES, REDEEMED, SENDINGS, USER_DAYS, VISITS
from offerlake.schemas.silver import OFFER_KINDS
from offerlake.schemas.user_features import DAY_PARTS

SUMS = tuple(column.name for column in (*VISITS, *PURCHASES, *SENDINGS, *REDEEMED))
FIRSTS = ("first_click", "first_order")
LASTS = ("last_click", "last_order", "last_sent", "last_redeemed")


def user_days(
    *,
    clicks: DataFrame,
    order_lines: DataFrame,
    exposures: DataFrame,
    redemptions: DataFrame,
    offers: DataFrame,
    features: FeatureSettings,
    examples: ExampleSettings,
    session_gap_minutes: int,
) -> DataFrame:
    """The table `user_days`: all that users did, by user, day and counting day.

    Args:
        clicks: Silver, whole.
        order_lines: Silver, whole.
        exposures: Silver, whole.
        redemptions: Silver, whole.
        offers: Silver, whole.
        features: Section `features`.
        examples: What the label window is, for the sent offers that were used.
        session_gap_minutes: The pause that ends a session.
    """
    windowed = with_window(exposures, offers, settings=examples)
    rows = visits(clicks, offers, settings=features, session_gap_minutes=session_gap_minutes)
    for part in (
        purchases(order_lines, settings=features),
        sendings(windowed, redemptions, offers, app_channels=features.app_channels),
        redeemed(redemptions),
    ):
        rows = rows.unionByName(part, allowMissingColumns=True)
    together = rows.groupBy(*USER_DAYS.key).agg(
        *[F.sum(name).alias(name) for name in SUMS],
        *[F.min(name).alias(name) for name in FIRSTS],
        *[F.max(name).alias(name) for name in LASTS],
    )
    return USER_DAYS.select(together)


def _count(condition: Column) -> Column:
    return F.sum(condition.cast("bigint"))


def visits(clicks: DataFrame, offers: DataFrame, *, settings: FeatureSettings, session_gap_minutes: int) -> DataFrame:
    """Clicks of known users by user, day and counting day; the columns of VISITS, first_click and last_click.

    Sessions are derived anew from what had arrived: an event begins a session as of D when none of the same user
    in the `session_gap_minutes` before it had arrived before D. If one arrives later, the beginning is taken back
    from the day on which that one counts.
    """
    gap = session_gap_minutes * 60_000_000
    in_order = Window.partitionBy("user_id").orderBy("micros", "since", "event_id")
    just_before = Window.partitionBy("user_id").orderBy("micros").rangeBetween(-gap, -1)
    events = clicks.where(F.col("user_id").isNotNull()).select(
        "user_id",
        "offer_id",
        "event_id",
        "event_type",
        "event_time",
        F.unix_micros("event_time").alias("micros"),
        F.col("event_date").alias("event_day"),
        counts_from(F.col("event_time"), F.col("arrived_at")).alias("since"),
        is_one_of(F.col("channel"), settings.app_channels).alias("in_app"),
    )
    again = F.lag("micros").over(in_order).eqNullSafe(F.col("micros"))
    joined_from = F.min("since").over(just_before)
    # The start of a session counts until an earlier event of the same session does.
    told = events.join(F.broadcast(first_kinds(offers)), on="offer_id", how="left")
    placed = told.withColumn("_again", again).withColumn("_joined", joined_from)
    begins = ~F.col("_again") & (F.col("_joined").isNull() | (F.col("_joined") > F.col("since")))
    local = local_time(F.col("event_time"), settings.time_zone)
    daily = (
        placed.withColumns({"begins": begins, "part": day_part(local), "at_weekend": at_weekend(local)})
        .withColumn("taken_back", F.when(F.col("begins"), F.col("_joined")))
        .groupBy("user_id", "event_day", "since", "taken_back")
        .agg(
            _count(F.col("begins")).alias("sessions"),
            *[_count(_event(kind)).alias(name) for name, kind in _CLICK_TYPES.items()],
            *[
                _count(_event("offer_click") & (F.col("offer_kind") == kind)).alias(f"clicked_{kind}")
                for kind in OFFER_KINDS
            ],
            *[_count(F.col("part") == place).alias(f"{name}_clicks") for place, name in enumerate(DAY_PARTS)],
            _count(F.col("at_weekend")).alias("weekend_clicks"),
            _count(F.col("in_app")).alias("app_clicks"),
            F.min("event_time").alias("first_click"),
            F.max("event_time").alias("last_click"),
        )
    )
    return _with_taken_back(daily)


_CLICK_TYPES = {
    "views": "view",
    "carts": "add_to_cart",
    "cart_removals": "remove_from_cart",
    "searches": "search",
    "offer_views": "offer_view",
    "offer_clicks": "offer_click",
    "content_views": "content_view",
}


def _event(kind: str) -> Column:
    return F.col("event_type") == kind


def _with_taken_back(daily: DataFrame) -> DataFrame:
    """Adds for each session start that is taken back later a row that does so."""
    counted = {column.name: column.type for column in VISITS} | {
        "first_click": "timestamp",
        "last_click": "timestamp",
    }
    day, taken_back = F.col("event_day"), F.col("taken_back")
    return told_as(
        daily,
        counted,
        Telling(day, F.col("since"), {name: F.col(name) for name in counted}),
        Telling(day, taken_back, {"sessions": -F.col("sessions")}, when=taken_back.isNotNull()),
    )


def first_kinds(offers: DataFrame) -> DataFrame:
    """The kind of each offer's first version, which it keeps here: offer_id, offer_kind."""
    return offers.groupBy("offer_id").agg(F.min_by("kind", "arrived_at").alias("offer_kind"))


def purchases(order_lines: DataFrame, *, settings: FeatureSettings) -> DataFrame:
    """Order lines by user, day and counting day; the columns of PURCHASES, first_order and last_order.

    An order is an order_id on a day; it counts from its first bought line on.
    """
    told = order_lines.select(
        "user_id",
        "order_id",
        "line_id",
        "order_time",
        F.col("order_date").alias("event_day"),
        counts_from(F.col("order_time"), F.col("arrived_at")).alias("since"),
        "quantity",
        F.coalesce(F.col("coupon_amount") > 0, F.lit(False)).alias("with_coupon"),
        *[whole_money(F.col(name)).alias(name) for name in ("unit_price", "discount", "net_amount")],
    )
    lines = winsorised(told, mads=settings.outlier_mads)
    bought = F.col("quantity") > 0
    gross = F.col("unit_price") * F.col("quantity")
    discounted = bought & (F.col("discount") > 0)
    deep = discounted & (F.coalesce(F.try_divide("discount", gross), F.lit(0)) >= settings.deep_discount)
    of_order = Window.partitionBy("user_id").orderBy("order_id", "event_day", (~bought).cast("int"), "since", "line_id")
    order = F.struct("order_id", "event_day")
    opens = bought & ~F.coalesce(F.lag(order).over(of_order) == order, F.lit(False))
    sums = {
        "orders": F.col("opens").cast("bigint"),
        "money": F.col("net_amount"),
        "spent": F.when(bought, F.col("net_amount")),
        "gross": F.when(bought, gross),
        "discounts": F.when(bought, F.col("discount")),
        "units": F.when(bought, F.col("quantity").cast("bigint")),
        "returned_units": F.when(~bought, -F.col("quantity").cast("bigint")),
        "lines": bought.cast("bigint"),
        "discounted_lines": discounted.cast("bigint"),
        "discounted_gross": F.when(discounted, gross),
        "deep_discount_lines": deep.cast("bigint"),
        "coupon_lines": (bought & F.col("with_coupon")).cast("bigint"),
        "capped_lines": F.col("capped").cast("bigint"),
    }
    daily = (
        lines.withColumn("opens", opens)
        .groupBy("user_id", "event_day", "since")
        .agg(
            *[F.coalesce(F.sum(value), F.lit(0)).alias(name) for name, value in sums.items()],
            F.min(F.when(bought, F.col("order_time"))).alias("first_order"),
            F.max(F.when(bought, F.col("order_time"))).alias("last_order"),
        )
    )
    return with_rhythm(daily)
