"""`examples`: one row for each exposure whose labels are final; features before it, labels after it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from offerlake.config import ExampleSettings, FeatureSettings
from offerlake.features.described import described
from offerlake.features.labels import contact_cost_of, labels, with_window
from offerlake.schemas.gold import EXAMPLES


@dataclass(frozen=True)
class Counts:
    """What became of the exposures.

    Attributes:
        final: They make examples.
        open: Their labels may still change as of the day.
        days: The days on which those that are final were shown.
    """

    final: int
    open: int
    days: tuple[date, ...]


def known_exposures(as_of: date, exposures: DataFrame, offers: DataFrame, *, settings: ExampleSettings) -> DataFrame:
    """Exposures that had arrived before `as_of`, with their label window and whether it is over (`final`)."""
    start = F.lit(as_of).cast("timestamp")
    known = exposures.where(F.greatest("shown_at", "arrived_at") < start)
    return with_window(known, offers, settings=settings).withColumn("final", F.col("final_at") <= start)


def counts(known: DataFrame) -> Counts:
    """Counts exposures by day and state; as many rows as there are days come to the driver."""
    rows = known.groupBy("shown_date", "final").agg(F.count("exposure_id").alias("rows")).collect()
    return Counts(
        final=sum(row["rows"] for row in rows if row["final"]),
        open=sum(row["rows"] for row in rows if not row["final"]),
        days=tuple(sorted({row["shown_date"] for row in rows if row["final"]})),
    )


def examples(
    known: DataFrame,
    *,
    as_ofs: Sequence[date],
    days: DataFrame,
    category_days: DataFrame,
    clicks: DataFrame,
    order_lines: DataFrame,
    redemptions: DataFrame,
    offers: DataFrame,
    offer_products: DataFrame,
    products: DataFrame,
    users: DataFrame,
    features: FeatureSettings,
    contact_cost: Mapping[str, float],
) -> DataFrame:
    """The table `examples`.

    Features are those as of `shown_date`, see `described`.
    margin = goods_margin − cost_per_redemption if redeemed − the channel's contact cost if an offer was sent.

    Args:
        known: What `known_exposures` gives.
        as_ofs: `Counts.days`, at least one.
        days: The table `user_days`.
        category_days: The table `user_category_days`.
        clicks: Silver, whole.
        order_lines: Silver, whole.
        redemptions: Silver, whole.
        offers: Silver, whole.
        offer_products: Silver, whole.
        products: Silver, whole.
        users: Silver, whole.
        features: Margin and smoothing.
        contact_cost: Money a message by channel; others cost nothing.
    """
    final = known.where(F.col("final"))
    outcome = labels(
        final,
        order_lines=order_lines,
        redemptions=redemptions,
        products=products,
        margin_rate=features.margin_rate,
    )
    told = described(
        final,
        as_ofs=as_ofs,
        days=days,
        category_days=category_days,
        clicks=clicks,
        order_lines=order_lines,
        offers=offers,
        offer_products=offer_products,
        products=products,
        users=users,
        features=features,
        outcome=outcome,
    )
    contact = F.when(F.col("offer_id").isNotNull(), contact_cost_of(F.col("channel"), contact_cost)).otherwise(F.lit(0))
    use = F.col("redeemed") * F.col("fixed_cost").cast("decimal(18,4)")
    return EXAMPLES.select(
        told.withColumn("treatment", F.col("offer_id").isNotNull().cast("int")).withColumn(
            "margin", F.col("goods_margin") - use - contact
        )
    )
