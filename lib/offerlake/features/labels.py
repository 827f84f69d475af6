"""What became of an exposure: its label window, and what the user did in it."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal

from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F

from offerlake.config import ExampleSettings
from offerlake.features.clocks import versions, with_version

_COST = "decimal(18,6)"


def with_window(exposures: DataFrame, offers: DataFrame, *, settings: ExampleSettings) -> DataFrame:
    """Adds the end of each exposure's label window.

    `shown_at` + horizon; with `common_end` the offer's `valid_to` as known on the day shown, for rows without an
    offer the last `valid_to` of the rows with one that the same policy chose in the same run on the same day.
    An end that is not after `shown_at` is not used.

    Args:
        exposures: The silver table.
        offers: The silver table.
        settings: horizon_days, common_end, wait_days.

    Returns:
        exposures with label_end and final_at (timestamps); from final_at on the labels do not change.
    """
    horizon = F.col("shown_at") + F.expr(f"INTERVAL {settings.horizon_days} DAYS")
    ended = exposures.withColumn("label_end", horizon)
    if settings.common_end:
        dated = with_version(exposures, versions(offers, "offer_id", ["valid_to"]), "offer_id", day="shown_date")
        campaign = Window.partitionBy("policy", "run_id", "shown_date")
        common = F.when(F.col("offer_id").isNull(), F.max("valid_to").over(campaign)).otherwise(F.col("valid_to"))
        ended = (
            dated.withColumn("_end", common)
            .withColumn("label_end", F.when(F.col("_end") > F.col("shown_at"), F.col("_end")).otherwise(horizon))
            .drop("_end", "valid_to")
        )
    return ended.withColumn("final_at", F.col("label_end") + F.expr(f"INTERVAL {settings.wait_days} DAYS"))


def in_label_window(happened: Column) -> Column:
    """True where something happened in [shown_at, label_end)."""
    return (happened >= F.col("shown_at")) & (happened < F.col("label_end"))


def labels(
    exposures: DataFrame,
    *,
    order_lines: DataFrame,
    redemptions: DataFrame,
    products: DataFrame,
    margin_rate: float,
) -> DataFrame:
    """What the users bought and redeemed in the label windows; what arrived at `final_at` or later does not count.

    Args:
        exposures: With the columns of `with_window`.
        order_lines: The silver table.
        redemptions: The silver table.
        products: The silver table; costs are those known on the day of the order.
        margin_rate: Without a unit cost it is (1 − margin_rate) × unit_price.

    Returns:
        exposure_id, responded and redeemed (int, 0 or 1), net_value and goods_margin (decimal): goods_margin is
        Σ(net_amount − unit_cost × quantity); use_value (decimal?): what the uses took off. One row an exposure.
    """
    window = exposures.select("exposure_id", "user_id", "offer_id", "shown_at", "label_end", "final_at")
    lines = _with_margin(order_lines, products, margin_rate)
    bought = (
        window.join(lines, on="user_id", how="inner")
        .where(in_label_window(F.col("order_time")) & (F.col("arrived_at") < F.col("final_at")))
        .groupBy("exposure_id")
        .agg(
            F.max((F.col("quantity") > 0).cast("int")).alias("responded"),
            F.sum("net_amount").alias("net_value"),
            F.sum("line_margin").alias("goods_margin"),
        )
    )
    used = (
        window.join(
            redemptions.select("user_id", "offer_id", "redeemed_at", "arrived_at", "value"),
            on=["user_id", "offer_id"],
            how="inner",
        )
        .where(in_label_window(F.col("redeemed_at")) & (F.col("arrived_at") < F.col("final_at")))
        .groupBy("exposure_id")
        .agg(F.lit(1).alias("redeemed"), F.sum("value").alias("use_value"))
    )
    return (
        window.select("exposure_id")
        .join(bought, on="exposure_id", how="left")
        .join(used, on="exposure_id", how="left")
        .select(
            "exposure_id",
            *[F.coalesce(F.col(name), F.lit(0)).alias(name) for name in ("responded", "redeemed")],
            *[F.coalesce(F.col(name), F.lit(Decimal(0))).alias(name) for name in ("net_value", "goods_margin")],
            "use_value",
        )
    )


def contact_cost_of(channel: Column, costs: Mapping[str, float]) -> Column:
    """Cost of one message by its channel (decimal); channels without a price cost nothing."""
    cost = F.lit(Decimal(0)).cast(_COST)
    for name, price in costs.items():
        cost = F.when(channel == name, F.lit(Decimal(str(price))).cast(_COST)).otherwise(cost)
    return cost


def _with_margin(order_lines: DataFrame, products: DataFrame, margin_rate: float) -> DataFrame:
    costs = versions(products, "product_id", ["unit_cost"])
    assumed = F.col("unit_price") * F.lit(Decimal(1) - Decimal(str(margin_rate))).cast("decimal(9,8)")
    cost = F.coalesce(F.col("unit_cost").cast(_COST), assumed.cast(_COST))
    return with_version(order_lines, costs, "product_id", day="order_date").select(
        "user_id",
        "order_time",
        "arrived_at",
        "quantity",
        "net_amount",
        (F.col("net_amount") - cost * F.col("quantity")).alias("line_margin"),
    )
