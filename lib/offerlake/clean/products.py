"""The catalogue: versions of products."""

from __future__ import annotations

from pyspark.sql import DataFrame

from offerlake.clean.parse import Parser
from offerlake.clean.quarantine import Cleaned, expect, settle, typed, versions
from offerlake.clean.rules import Rules
from offerlake.schemas import table

FEED, JOB = "products", "clean_products"
_MOST = 2**31 - 1
NO_CATEGORY = "unknown"
"""Category of a product that comes without one."""


def clean_products(raw: DataFrame, *, rules: Rules) -> Cleaned:
    """Cleans the products: every version that says something new, since when it was known.

    Args:
        raw: `raw_products`.
        rules: By what records are judged.
    """
    kept = expect(parsed(raw, rules.parse), rules.expected)
    return settle(table("products"), FEED, JOB, versions(kept, "product_id"))


def parsed(raw: DataFrame, parse: Parser) -> DataFrame:
    """Types the raw records."""
    since = parse.known_since()
    rate = parse.exchange(since.value)
    cells = (
        parse.text("product_id", required=True),
        since,
        parse.text("name"),
        parse.text("category", default=NO_CATEGORY),
        parse.text("brand"),
        parse.money("price", rate),
        parse.money("unit_cost", rate),
        parse.text("description"),
        parse.integer("stock", low=-_MOST, high=_MOST),  # what was oversold is below 0
    )
    return typed(raw, FEED, cells, [rate.problem])
