"""Whether what was measured is as expected: rows of the table `expectations`, and what stops a run."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

from offerlake.errors import GateError
from offerlake.quality.drift import stability_index
from offerlake.quality.expectations import Expectation
from offerlake.quality.measure import Measured


@dataclass(frozen=True)
class Finding:
    """One expectation of one table and how it stands: a row of `expectations` without the run.

    Attributes:
        table: The table.
        expectation: What is expected.
        rows: Rows that it speaks of.
        failed: Rows that break it; None: it is not of rows.
        value: What was measured, see `judged`; None: there is nothing to measure.
        low: Least value that is expected.
        high: Largest one.
        passed: Whether it is; None: nothing to judge, or too little.
        example: A value that breaks it.
    """

    table: str
    expectation: Expectation
    rows: int
    failed: int | None
    value: float | None
    low: float | None
    high: float | None
    passed: bool | None
    example: str | None


def judged(table: str, each: Expectation, measured: Measured, *, kept_out: int = 0) -> Finding:
    """Judges one expectation.

    The value is the share of rows that keep it; of freshness the days since the newest arrival; of volume the rows of
    the last day over the mean of the same weekday in the weeks before, of those that had any; of drift the index.

    Args:
        table: The table.
        each: The expectation.
        measured: What was found in the table.
        kept_out: Records that it kept out of the table.
    """
    low = high = value = None
    passed: bool | None = None
    rows, failed = measured.rows, measured.failed
    if each.freshness_days is not None:
        value, high = measured.days, each.freshness_days
        passed = value is not None and value <= high  # a log in which nothing arrived is not fresh
    elif each.volume is not None:
        low, high = each.volume.low, each.volume.high
        before = [count for count in measured.by_day[1:] if count]
        value = measured.by_day[0] * len(before) / sum(before) if before else None
        passed = None if value is None else low <= value <= high
    elif each.drift is not None:
        high = each.drift
        value, chance = stability_index(measured.reference or {}, measured.newest or {})
        if value is not None and (value <= high or value > chance):
            passed = value <= high
    else:
        assert failed is not None
        low, failed = each.least, failed + kept_out
        rows += kept_out
        value = (rows - failed) / rows if rows else None
        passed = None if value is None else failed <= (1 - low) * rows * (1 + 1e-9)
    return Finding(table, each, rows, failed, value, low, high, passed, measured.example)


def told(each: Expectation) -> str:
    """What is expected, as the YAML says it, on one line."""
    content = each.model_dump(mode="json", by_alias=True, exclude_none=True, exclude={"name", "severity"})
    return ", ".join(f"{key}: {json.dumps(value, ensure_ascii=False)}" for key, value in content.items())


def as_rows(findings: Sequence[Finding], *, run_id: str, attempt: int, as_of: date) -> list[tuple[Any, ...]]:
    """Rows of the table `expectations`."""
    return [
        (
            run_id, attempt, as_of, each.table, each.expectation.name, each.expectation.kind, each.expectation.severity,
            list(each.expectation.columns), told(each.expectation), each.rows, each.failed, each.value, each.low,
            each.high, each.passed, each.example,
        )
        for each in findings
    ]  # fmt: skip


def refuse_to_go_on(findings: Sequence[Finding], *, where: str) -> None:
    """Stops the run where an expectation of severity stop is not met.

    Args:
        findings: Of all tables.
        where: The file of the expectations, for the message.

    Raises:
        GateError: One is not; all of them are named.
    """
    unmet = [each for each in findings if each.passed is False and each.expectation.severity == "stop"]
    if not unmet:
        return
    said = "; ".join(f"{each.table}.{each.expectation.name}: {_measure(each)}" for each in unmet)
    raise GateError(
        f"expectations not met: {said}",
        fix=f"Mend the feed and run again, or change what {where} expects; the table expectations has all of them.",
    )


def _measure(each: Finding) -> str:
    """What was got and what is right."""
    if each.failed is not None:
        share = "none may" if each.low == 1 else f"at least {each.low:g} of them have to keep it"
        example = f", such as {each.example!r}" if each.example is not None else ""
        return f"{each.failed} of {each.rows} rows break {told(each.expectation)}{example}; {share}"
    value = "nothing" if each.value is None else f"{each.value:.4g}"
    bounds = [f"at least {each.low:g}"] if each.low is not None else []
    bounds += [f"at most {each.high:g}"] if each.high is not None else []
    return f"got {value}, {' and '.join(bounds)} is right"
