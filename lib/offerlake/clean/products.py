"""The catalogue: versions of products."""

from __future__ import annotations

from collections.abc import Sequence

from pyspark.sql import Column, DataFrame

from offerlake.clean.parse import Parser, Reading
from offerlake.clean.quarantine import Cleaned, expect, settle, typed, versions
from offerlake.config import CleanSettings
from offerlake.schemas import table

FEED, JOB = "products", "clean_products"
NO_CATEGORY = "unknown"
"""Category of a product that comes without one."""


def clean_products(
    raw: DataFrame, *, settings: CleanSettings, reading: Reading, quote: int, expected: Sequence[Column] = ()
) -> Cleaned:
    """Cleans the products: every version that says something new, since when it was known.

    Args:
        raw: `raw_products`.
        settings: Of cleaning.
        reading: How the feed's values are written.
        quote: Characters of a refused value that its reason quotes.
        expected: Further reasons to refuse a typed record: a string, or null.
    """
    kept = expect(parsed(raw, settings, Parser(reading, quote)), expected)
    return settle(table("products"), FEED, JOB, versions(kept, "product_id"))


def parsed(raw: DataFrame, settings: CleanSettings, parse: Parser) -> DataFrame:
    """Types the raw records."""
    cells = (
        parse.text("product_id", required=True),
        parse.known_since(),
        parse.text("name"),
        parse.text("category", default=NO_CATEGORY),
        parse.text("brand"),
        parse.money("price", top=settings.max_money),
        parse.money("unit_cost", top=settings.max_money),
        parse.text("description"),
    )
    return typed(raw, FEED, cells)
