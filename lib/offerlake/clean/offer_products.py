"""Which products an offer is for, by which coupon."""

from __future__ import annotations

from collections.abc import Sequence

from pyspark.sql import Column, DataFrame

from offerlake.clean.parse import Parser, Reading
from offerlake.clean.quarantine import Cleaned, expect, first_wins, refuse_unknown, settle, typed
from offerlake.config import CleanSettings
from offerlake.schemas import table

FEED, JOB = "offer_products", "clean_offer_products"


def clean_offer_products(
    raw: DataFrame,
    *,
    products: DataFrame,
    settings: CleanSettings,
    reading: Reading,
    quote: int,
    expected: Sequence[Column] = (),
) -> Cleaned:
    """Cleans the offers' products: each offer, product and coupon once.

    Args:
        raw: `raw_offer_products`.
        products: Silver `products`: which ids are known.
        settings: Of cleaning.
        reading: How the feed's values are written.
        quote: Characters of a refused value that its reason quotes.
        expected: Further reasons to refuse a typed record: a string, or null.
    """
    kept = expect(parsed(raw, Parser(reading, quote)), expected)
    kept = first_wins(kept, ["offer_id", "product_id", "coupon_id"], arrived=False)
    if settings.unknown_products == "quarantine":
        kept = refuse_unknown(kept, "product_id", products, quote=quote)
    return settle(table("offer_products"), FEED, JOB, kept)


def parsed(raw: DataFrame, parse: Parser) -> DataFrame:
    """Types the raw records."""
    cells = (
        parse.text("offer_id", required=True),
        parse.text("product_id", required=True),
        parse.text("coupon_id", default=""),
    )
    return typed(raw, FEED, cells)
