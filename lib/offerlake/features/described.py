"""What models read of a user and an offer on the day it was shown: the same for all kinds of examples."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from offerlake.config import FeatureSettings
from offerlake.features.offer_context import scope_history, with_context
from offerlake.features.users import user_features


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
    return with_context(dated.join(features_of, on=["as_of", "user_id"], how="inner"), history, offers=offers)
