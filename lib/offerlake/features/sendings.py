"""What became of the offers sent to users, as rows for `windowed.window_sums`."""

from __future__ import annotations

from collections.abc import Sequence

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from offerlake.features.clocks import counts_from, versions, with_version
from offerlake.features.habits import is_one_of
from offerlake.features.labels import in_label_window
from offerlake.features.telling import Telling, told_as
from offerlake.schemas.gold import SENDINGS
from offerlake.windows import utc_day

DEPTH_UNIT = 10_000
"""Shares of the price are summed as whole ten-thousandths."""


def sendings(
    windowed: DataFrame, redemptions: DataFrame, offers: DataFrame, *, app_channels: Sequence[str]
) -> DataFrame:
    """Offers sent, those used in their label window and those ignored; the columns of SENDINGS and last_sent.

    An offer is ignored when its label window ends. If a use in the window arrives later, that is taken back from the
    day on which the use counts.

    Args:
        windowed: Exposures with the columns of `labels.with_window`.
        redemptions: The silver table.
        offers: The silver table; depths are those known on the day of the sending.
        app_channels: Names of channels that are the app.
    """
    last_moment = F.col("label_end") - F.expr("INTERVAL 1 MICROSECOND")
    terms = F.broadcast(versions(offers, "offer_id", ["kind", "depth"]))
    given = with_version(windowed.where(F.col("offer_id").isNotNull()), terms, "offer_id", day="shown_date")
    sent = given.select(
        "exposure_id",
        "user_id",
        "offer_id",
        "shown_at",
        "label_end",
        F.col("shown_date").alias("event_day"),
        counts_from(F.col("shown_at"), F.col("arrived_at")).alias("since"),
        utc_day(last_moment).alias("end_day"),
        counts_from(last_moment, F.col("arrived_at")).alias("end_since"),
        F.when(F.col("kind") == "percent_off", F.round(F.col("depth") * DEPTH_UNIT).cast("bigint")).alias("depth"),
        is_one_of(F.col("channel"), app_channels).alias("app"),
    )
    seen = redemptions.select(
        "user_id",
        "offer_id",
        "redeemed_at",
        counts_from(F.col("redeemed_at"), F.col("arrived_at")).alias("redeemed_since"),
    )
    used = (
        sent.join(seen, on=["user_id", "offer_id"], how="inner")
        .where(in_label_window(F.col("redeemed_at")))
        .groupBy("exposure_id", "user_id", "event_day", "since", "end_day", "end_since", "depth", "app")
        .agg(F.min("redeemed_since").alias("used_since"))
    )
    types = {column.name: column.type for column in SENDINGS} | {"last_sent": "timestamp"}
    day, since, end_day, end_since = (F.col(name) for name in ("event_day", "since", "end_day", "end_since"))
    percent = F.col("depth").isNotNull()
    shown = {"exposures": F.lit(1), "app_sent": F.col("app"), "percent_sent": percent, "depth_sent": F.col("depth")}
    taken = {"used": F.lit(1), "app_used": F.col("app"), "percent_used": percent, "depth_used": F.col("depth")}
    told = told_as(
        sent,
        types,
        Telling(day, since, shown | {"last_sent": F.col("shown_at")}),
        Telling(end_day, end_since, {"ignored": F.lit(1)}),
    )
    known = told_as(
        used,
        types,
        Telling(day, F.greatest(since, F.col("used_since")), taken),
        Telling(end_day, F.greatest(end_since, F.col("used_since")), {"ignored": F.lit(-1)}),
    )
    return told.unionByName(known)


def redeemed(redemptions: DataFrame) -> DataFrame:
    """Redemptions; the column of REDEEMED and last_redeemed."""
    return redemptions.select(
        "user_id",
        F.col("redeemed_date").alias("event_day"),
        counts_from(F.col("redeemed_at"), F.col("arrived_at")).alias("since"),
        F.lit(1).alias("redemptions"),
        F.col("redeemed_at").alias("last_redeemed"),
    )
