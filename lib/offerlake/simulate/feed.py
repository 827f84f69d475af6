"""What a feed is, once it can be written, and the columns of the seven."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from pyspark.sql import DataFrame


@dataclass(frozen=True)
class Feed:
    """One feed, ready to be written.

    Attributes:
        name: Its folder.
        frame: Records with period, arrived_ms, record, dirt and, in text forms, line.
        form: Of the files.
        columns: Of the source, in order.
        names: File name of each period.
    """

    name: str
    frame: DataFrame
    form: Literal["csv", "jsonl", "parquet"]
    columns: tuple[str, ...]
    names: tuple[str, ...]


CLICK_COLUMNS = (
    "id", "user", "visitor", "session", "ts", "received_at", "type", "product_id", "offer_id", "query", "price",
    "quantity", "channel", "device", "referrer",
)  # fmt: skip
ORDER_COLUMNS = (
    "order_id", "line", "user_id", "product_id", "ordered_at", "received_at", "quantity", "unit_price", "discount",
    "net_amount", "offer_id",
)  # fmt: skip
PRODUCT_COLUMNS = ("sku", "title", "category", "brand", "price", "cost", "description", "updated_at")
USER_COLUMNS = (
    "user_id", "updated_at", "signup_time", "gender", "age_band", "region", "consent_marketing", "consent_profiling",
    "newsletter",
)  # fmt: skip
OFFER_COLUMNS = (
    "offer_id", "created_at", "kind", "depth", "scope", "scope_values", "min_spend", "cost_per_redemption", "channels",
    "valid_from", "valid_to", "max_redemptions",
)  # fmt: skip
EXPOSURE_COLUMNS = (
    "exposure_id", "user_id", "offer_id", "shown_at", "received_at", "channel", "position", "propensity", "policy",
)  # fmt: skip
REDEMPTION_COLUMNS = ("redemption_id", "user_id", "offer_id", "redeemed_at", "received_at", "order_id", "value")
