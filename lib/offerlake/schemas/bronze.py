"""Bronze: each feed as received, all strings, plus where it came from and when it was loaded."""

from __future__ import annotations

from offerlake.schemas.model import Col, Table

FEEDS: dict[str, tuple[str, ...]] = {
    "clicks": (
        "event_id", "user_id", "anonymous_id", "session_id", "event_time", "arrived_at", "event_type",
        "product_id", "offer_id", "query", "price", "currency", "quantity", "channel", "device", "referrer",
    ),
    "orders": (
        "order_id", "line_id", "user_id", "product_id", "order_time", "arrived_at", "quantity",
        "unit_price", "discount", "net_amount", "coupon_amount", "currency", "offer_id",
    ),
    "products": (
        "product_id", "arrived_at", "name", "category", "brand", "price", "unit_cost", "currency", "description",
        "stock",
    ),
    "users": (
        "user_id", "arrived_at", "signup_time", "gender", "age_band", "region", "consent_marketing",
        "consent_profiling",
    ),
    "identities": ("alias", "user_id", "arrived_at"),
    "offers": (
        "offer_id", "arrived_at", "kind", "depth", "scope", "scope_values", "min_spend",
        "cost_per_redemption", "currency", "channels", "valid_from", "valid_to", "max_redemptions", "campaign_type",
    ),
    "offer_products": ("offer_id", "product_id", "coupon_id"),
    "exposures": (
        "exposure_id", "assignment_id", "user_id", "offer_id", "shown_at", "arrived_at", "channel",
        "position", "propensity", "policy", "run_id",
    ),
    "redemptions": (
        "redemption_id", "user_id", "offer_id", "coupon_id", "redeemed_at", "arrived_at", "order_id",
        "value", "currency",
    ),
}  # fmt: skip
"""Feed to its columns' names after the mapping; a source column that no name claims goes to the map `extra`."""


def _raw(feed: str, columns: tuple[str, ...]) -> Table:
    return Table(
        name=f"raw_{feed}",
        layer="bronze",
        grain=f"one record of the feed {feed}, as received",
        key=("source", "source_position"),
        columns=(
            *(Col(name, "string", f"{name} as received", null=True) for name in columns),
            Col("extra", "map<string,string>", "source columns that the mapping does not name"),
            Col("source", "string", "file (relative to the landing folder) it came from, or kafka:topic/partition"),
            Col(
                "source_position",
                "string",
                "place in the source: running number of the record in its file, or the message's offset",
            ),
            Col("loaded_at", "timestamp", "when the ingest run wrote it; never a feature's clock"),
            Col("loaded_date", "date", "UTC date of loaded_at"),
        ),
        partition="loaded_date",
        mode="append",
        retention="raw_days",
    )


TABLES = tuple(_raw(feed, columns) for feed, columns in FEEDS.items())
