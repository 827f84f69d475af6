"""What models read of a user and an offer on the day it was shown: the same for all kinds of examples."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from offerlake.config import FeatureSettings
from offerlake.features.offer_context import scope_history, with_context, with_terms
from offerlake.features.users import user_features
from offerlake.schemas.gold import USER_FEATURE_COLUMNS


def described(
    shown: DataFrame,
    *,
    as_ofs: Sequence[date],
    days: DataFrame,
    category_days: DataFrame,
    clicks: DataFrame,
    order_lines: DataFrame,
    offers: DataFrame,
    offer_products: DataFrame,
    products: DataFrame,
    users: DataFrame,
    features: FeatureSettings,
    outcome: DataFrame | None = None,
) -> DataFrame:
    """Adds the USER_FEATURE_COLUMNS and OFFER_CONTEXT_COLUMNS as of `shown_date`.

    They end with the day before, so nothing of the day itself is in them.

    Args:
        shown: user_id, offer_id (null: nothing), channel, shown_date, and columns of their own.
        as_ofs: The days of `shown`, at least one.
        days: The table `user_days`.
        category_days: The table `user_category_days`.
        clicks: Silver, whole.
        order_lines: Silver, whole.
        offers: Silver, whole.
        offer_products: Silver, whole.
        products: Silver, whole.
        users: Silver, whole.
        features: Smoothing.
        outcome: Further columns of each row, by exposure_id.

    Returns:
        shown, one row for each, with as_of (its shown_date) and the columns.
    """
    dated = shown.withColumn("as_of", F.col("shown_date"))
    keys = dated.select("as_of", "user_id", "offer_id")
    features_of = user_features(
        keys.select("as_of", "user_id").distinct(),
        as_ofs=as_ofs,
        days=days,
        category_days=category_days,
        users=users,
        settings=features,
    )
    history = scope_history(
        keys,
        offers=offers,
        offer_products=offer_products,
        products=products,
        clicks=clicks,
        order_lines=order_lines,
    )
    # The features come last: until then rows are narrow, and cheap to shuffle.
    labelled = dated if outcome is None else dated.join(outcome, on="exposure_id", how="inner")
    told = with_terms(labelled, history, offers=offers).join(features_of, on=["as_of", "user_id"], how="inner")
    return with_context(told, [*labelled.columns, *[column.name for column in USER_FEATURE_COLUMNS]])
