"""What was expected of the data and how it stands, for the report."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from offerlake.evaluate import words

_SEVERITIES = {
    "stop": "Stops the run",
    "quarantine": "Such records are kept out",
    "warn": "A warning",
}


@dataclass(frozen=True)
class Check:
    """One expectation of one table and how it stands, see the table `expectations`."""

    table: str
    kind: str
    severity: str
    columns: tuple[str, ...]
    expected: str
    rows: int
    failed: int | None = None
    value: float | None = None
    low: float | None = None
    high: float | None = None
    passed: bool | None = True
    example: str | None = None


def checks(expectations: DataFrame) -> tuple[Check, ...]:
    """The newest attempt's findings, of the rows of one run; what is not met first, the gravest of that on top."""
    newest = expectations.agg(F.max("attempt")).collect()[0][0]
    rows = expectations.where(F.col("attempt") == F.lit(newest)).collect()
    found = [
        Check(
            row["table_name"], row["kind"], row["severity"], tuple(row["columns"]), row["expected"], row["rows"],
            row["failed_rows"], row["value"], row["low"], row["high"], row["passed"], row["example"],
        )
        for row in rows
    ]  # fmt: skip
    order = {False: 0, None: 1, True: 2}
    return tuple(
        sorted(found, key=lambda c: (order[c.passed], [*_SEVERITIES].index(c.severity), c.table, c.columns, c.kind))
    )


def unmet(found: Sequence[Check]) -> list[dict[str, str]]:
    """What is not met, and what could not be judged, in words."""
    return [
        {
            "table": words.TABLES.get(check.table, check.table),
            "said": said(check),
            "means": _SEVERITIES[check.severity] if check.passed is False else "Too little to judge",
        }
        for check in found
        if check.passed is not True
    ]


def said(check: Check) -> str:
    """One finding as a sentence."""
    if check.failed is not None:
        return _of_rows(check)
    column = ", ".join(check.columns)
    if check.value is None:
        return {
            "freshness_days": "Nothing has arrived.",
            "volume": f"{words.number(check.rows)} records on the last day, and nothing to compare them with.",
            "drift": f"No values of {column} to compare.",
        }[check.kind]
    got = words.number(check.value, 2)
    found = {
        "freshness_days": f"The newest record arrived {got} days before",
        "volume": f"The last day has {got} times the records that its weekday had before",
        "drift": f"The values of {column} have shifted by a stability index of {got}",
    }[check.kind]
    bounds = f"{check.high:g} at most" if check.low is None else f"{check.low:g} to {check.high:g}"
    return f"{found}; expected: {bounds}."


def _of_rows(check: Check) -> str:
    column = ", ".join(check.columns)
    if not check.rows:
        return f"No values of {column} to judge."
    count = f"{words.number(check.failed)} of {words.number(check.rows)} records"
    such = f", such as {check.example}" if check.example is not None else ""
    wrong = {
        "not_null": f"{column} is missing in {count}",
        "unique": f"{column} was there before in {count}{such}",
        "foreign_key": f"{column} is not known in {count}{such}",
    }.get(check.kind, f"{column} is not what it should be in {count}{such}")
    most = 1 - (check.low or 0)
    return f"{wrong}; expected in {words.percent(most)} at most." if most else f"{wrong}."
