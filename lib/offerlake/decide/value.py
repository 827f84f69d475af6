"""What a pair of user and offer is worth."""

from __future__ import annotations

from pyspark.sql import Column
from pyspark.sql import functions as F


def pair_value() -> Column:
    """Value of a row of `offer_scores` in money, cost taken off.

    With a control group in the data it is `expected_margin` = E[margin | offer] − E[margin | nothing], which has the
    offer's cost in it already. Without one it is p_redeem × order_margin − expected_cost: what redeemed orders bring,
    by nothing incremental, because nobody knows what would have been bought anyway.
    """
    gross = F.col("p_redeem") * F.col("order_margin") - F.col("expected_cost")
    return F.coalesce("expected_margin", gross)
