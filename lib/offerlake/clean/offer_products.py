"""Which products an offer is for, by which coupon."""

from __future__ import annotations

from pyspark.sql import DataFrame

from offerlake.clean.parse import Parser
from offerlake.clean.quarantine import Cleaned, expect, first_of, refuse_unknown, settle, typed
from offerlake.clean.rules import Rules
from offerlake.schemas import table

FEED, JOB = "offer_products", "clean_offer_products"


def clean_offer_products(
    raw: DataFrame,
    *,
    products: DataFrame,
    rules: Rules,
) -> Cleaned:
    """Cleans the offers' products: each offer, product and coupon once.

    Args:
        raw: `raw_offer_products`.
        products: Silver `products`: which ids are known.
        rules: By what records are judged.
    """
    kept = expect(parsed(raw, rules.parse), rules.expected)
    kept = first_of(kept, ["offer_id", "product_id", "coupon_id"], arrived=False)
    if rules.settings.unknown_products == "quarantine":
        kept = refuse_unknown(kept, "product_id", products, quote=rules.quote)
    return settle(table("offer_products"), FEED, JOB, kept)


def parsed(raw: DataFrame, parse: Parser) -> DataFrame:
    """Types the raw records."""
    cells = (
        parse.text("offer_id", required=True),
        parse.text("product_id", required=True),
        parse.text("coupon_id", default=""),
    )
    return typed(raw, FEED, cells)
