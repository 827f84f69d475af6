"""All that is expected of one table, checked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date

from pyspark.sql import DataFrame

from offerlake.quality.expectations import CHECKED, FEED_OF, Expectation
from offerlake.quality.judge import Finding, judged
from offerlake.quality.measure import kept_out, looked_at, measure
from offerlake.quality.rows import QUARANTINE


def needed(name: str, expected: Sequence[Expectation]) -> set[str]:
    """The tables that it takes to check one."""
    targets = {each.target[0] for each in expected if each.foreign_key is not None}
    return {name, *targets, *(["quarantine"] if _keeping(expected) else [])}


def check_table(
    tables: Mapping[str, DataFrame],
    name: str,
    expected: Sequence[Expectation],
    *,
    as_of: date,
    days: int,
    quote: int,
) -> list[Finding]:
    """Checks one table: in one pass over it, see `measure`; a further one over `quarantine` where rows are kept out.

    Args:
        tables: Those that are `needed`.
        name: The table.
        expected: What is expected of it.
        as_of: The day: of a log what had happened and arrived before it counts.
        days: Days before `as_of` whose rows of a log are looked at.
        quote: Characters of a value that an example quotes.
    """
    contract = CHECKED[name]
    frame = looked_at(tables[name], contract, as_of=as_of, days=days)
    found = measure(frame, expected, contract=contract, as_of=as_of, targets=tables, quote=quote)
    keeping = _keeping(expected)
    out: dict[str, int] = {}
    if keeping:
        out = kept_out(tables["quarantine"], FEED_OF[name], contract, as_of=as_of, days=days)
    return [
        judged(name, each, measured, kept_out=out.get(each.name, 0) if each.name in keeping else 0)
        for each, measured in zip(expected, found, strict=True)
    ]


def _keeping(expected: Sequence[Expectation]) -> set[str]:
    """Names of those that keep records out."""
    return {each.name for each in expected if each.severity == QUARANTINE}
