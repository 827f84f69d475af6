"""The offer catalogue: versions of offers."""

from __future__ import annotations

from dataclasses import replace

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from offerlake.clean.parse import Cell, Parser
from offerlake.clean.quarantine import Cleaned, expect, settle, typed, versions
from offerlake.clean.rules import Rules
from offerlake.schemas import table
from offerlake.schemas.silver import OFFER_KINDS, SCOPES

FEED, JOB = "offers", "clean_offers"
_MAX_USES = 2**31 - 1


def clean_offers(raw: DataFrame, *, rules: Rules) -> Cleaned:
    """Cleans the offers: every version that says something new.

    Args:
        raw: `raw_offers`.
        rules: By what records are judged.
    """
    kept = expect(parsed(raw, rules.parse), rules.expected)
    return settle(table("offers"), FEED, JOB, versions(kept, "offer_id"))


def parsed(raw: DataFrame, parse: Parser) -> DataFrame:
    """Types the raw records."""
    begin, end = parse.instant("valid_from", required=True), parse.instant("valid_to", required=True)
    kind, scope, within = parse.choice("kind", OFFER_KINDS), parse.choice("scope", SCOPES), parse.words("scope_values")
    rate = parse.exchange(begin.value)
    depth = parse.double("depth", low=0, high=parse.settings.max_money)
    if rate.rate is not None:
        depth = replace(
            depth, value=F.when(kind.value == "percent_off", depth.value).otherwise(depth.value * rate.rate)
        )
    named = F.coalesce(within.value, F.array().cast("array<string>"))
    cells = (
        parse.text("offer_id", required=True),
        parse.known_since(),
        kind,
        depth.refuse("range", (kind.value == "percent_off") & (depth.value > 1), depth.value),
        scope,
        replace(within, value=named),
        parse.money("min_spend", rate),
        parse.money("cost_per_redemption", rate),
        parse.words("channels"),
        begin,
        end.refuse("range", end.value <= begin.value, parse.shown("valid_to")),
        parse.integer("max_redemptions", low=0, high=_MAX_USES),
        parse.text("campaign_type"),
    )
    return typed(raw, FEED, cells, [*_lacking(kind, depth, scope, named), rate.problem])


def _lacking(kind: Cell, depth: Cell, scope: Cell, named: Column) -> list[Column]:
    """What an offer of its kind and scope cannot do without."""
    no_depth = kind.value.isin("percent_off", "amount_off") & depth.value.isNull() & depth.problem.isNull()
    no_scope = scope.value.isin("category", "brand") & (F.size(named) == 0)
    return [F.when(no_depth, F.lit("missing:depth")), F.when(no_scope, F.lit("missing:scope_values"))]
