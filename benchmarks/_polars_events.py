"""What users did on the site, and what they were sent and used, in Polars: sums as of one day, one row a user."""

from __future__ import annotations

from datetime import date, timedelta

import polars as pl
from _peer import CLICKS, DAY_PARTS, OFFER_KINDS, Task
from _polars_parse import SCALE
from _polars_windows import Silver, in_app, known, sums


def visits(task: Task, silver: Silver) -> pl.DataFrame:
    """Sums of clicks by user; a session begins where nothing known came shortly before."""
    kinds = silver.offers.sort("arrived_at").unique("offer_id", keep="first").select("offer_id", "kind")
    gap = pl.duration(minutes=task.settings.clean.session_gap_minutes)
    events = (
        known(task, silver.clicks.filter(pl.col("user_id").is_not_null()), "event_time")
        .select("user_id", "event_time", "event_type", "offer_id", "day", in_app(task).alias("in_app"))
        .with_columns(pl.col("user_id").cast(pl.Categorical).to_physical().alias("user"))
        .sort("user", "event_time")
    )
    other, pause = pl.col("user") != pl.col("user").shift(), pl.col("event_time").diff()
    local = pl.col("event_time").dt.convert_time_zone(task.settings.features.time_zone)
    told = events.with_columns(
        (other | (pause > gap)).fill_null(value=True).alias("begins"),
        (local.dt.hour() // (24 // len(DAY_PARTS))).alias("part"),
        (local.dt.weekday() > 5).alias("weekend"),
    )
    kind, kind_of = pl.col("event_type"), pl.col("kind")
    values = {"sessions": pl.col("begins"), **{name: kind == word for name, word in CLICKS.items()}}
    clicked = {f"clicked_{word}": (kind == "offer_click") & (kind_of == word) for word in OFFER_KINDS}
    habits = {f"{name}_clicks": pl.col("part") == place for place, name in enumerate(DAY_PARTS)}
    habits |= {"weekend_clicks": pl.col("weekend"), "app_clicks": pl.col("in_app")}
    firsts = (pl.col("event_time").min().alias("first_click"), pl.col("event_time").max().alias("last_click"))
    return (
        told.lazy()
        .join(kinds.lazy(), on="offer_id", how="left")
        .group_by("user_id")
        .agg(*sums(task, values | clicked | habits), *firsts)
        .collect(engine="streaming")
    )


def sendings(task: Task, silver: Silver) -> pl.DataFrame:
    """Sums of offers sent by user; a use within the label window is the exposure's, with none it is then ignored."""
    horizon = pl.duration(days=task.settings.examples.horizon_days)
    shown, redeemed = pl.col("shown_at"), pl.col("redeemed_at")
    sent = known(task, silver.exposures.filter(pl.col("offer_id").is_not_null()), "shown_at")
    uses = known(task, silver.redemptions, "redeemed_at").select("user_id", "offer_id", "redeemed_at")
    within = (redeemed >= shown) & (redeemed < shown + horizon)
    of_uses = sent.join(uses, on=["user_id", "offer_id"]).filter(within)["exposure_id"].unique()
    told = (
        sent.sort("day")
        .join_asof(_depths(silver), left_on="day", right_on="known_from", by="offer_id", check_sortedness=False)
        .with_columns(pl.col("exposure_id").is_in(of_uses.implode()).alias("used"), in_app(task).alias("in_app"))
    )
    used, app, depth = pl.col("used"), pl.col("in_app"), pl.col("depth")
    percent = depth.is_not_null()
    values = {
        "exposures": pl.lit(value=True), "used": used,
        "app_sent": app, "app_used": used & app, "message_sent": ~app, "message_used": used & ~app,
        "percent_sent": percent, "percent_used": used & percent,
        "depth_sent": depth, "depth_used": pl.when(used).then(depth),
    }  # fmt: skip
    last_moment = shown + horizon - pl.duration(microseconds=1)
    lately = last_moment.is_between(task.midnight - timedelta(days=84), task.midnight, closed="left")
    ignored = (lately & ~used).sum().cast(pl.Int64).alias("ignored_84d")
    return told.group_by("user_id").agg(*sums(task, values), ignored, shown.max().alias("last_sent"))


def _depths(silver: Silver) -> pl.DataFrame:
    """Of each offer's versions what they take off the price, if that is a share of it, and from which day it is known.

    In ten-thousandths; the first version is always known.
    """
    first = pl.col("offer_id").is_first_distinct()
    next_day = pl.col("arrived_at").dt.date() + pl.duration(days=1)
    share = pl.when(pl.col("kind") == "percent_off").then((pl.col("depth") * SCALE).round(mode="half_away_from_zero"))
    return (
        silver.offers.sort("arrived_at")
        .select(
            "offer_id",
            share.cast(pl.Int64).alias("depth"),
            pl.when(first).then(date.min).otherwise(next_day).alias("known_from"),
        )
        .sort("known_from", maintain_order=True)
    )


def redemptions(task: Task, silver: Silver) -> pl.DataFrame:
    """Sums of redemptions by user, of whatever was sent."""
    seen = known(task, silver.redemptions, "redeemed_at").group_by("user_id")
    return seen.agg(
        *sums(task, {"redemptions": pl.lit(value=True)}), pl.col("redeemed_at").max().alias("last_redeemed")
    )
