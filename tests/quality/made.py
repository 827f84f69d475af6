"""Silver frames made of a few visible rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

from pyspark.sql import DataFrame, SparkSession

from offerlake.quality.check import check_table
from offerlake.quality.expectations import parse_expectations
from offerlake.quality.judge import Finding
from offerlake.schemas import table

AS_OF = date(2025, 9, 3)  # a Wednesday
MIDNIGHT = datetime(2025, 9, 3, tzinfo=UTC)
FILL: dict[str, Any] = {"string": "x", "boolean": True, "int": 1, "decimal(18,4)": Decimal(1), "double": 0.0}


def ago(days: float) -> datetime:
    """A moment before as_of."""
    return MIDNIGHT - timedelta(days=days)


def silver(spark: SparkSession, name: str, rows: Sequence[Mapping[str, Any]]) -> DataFrame:
    """Rows of a table. `at` is when one happened and arrived, by default half a day before as_of; the rest is null."""
    contract = table(name)
    made = []
    for row in rows:
        moment = row.get("at", ago(0.5))
        of_type = {**FILL, "timestamp": moment, "date": moment.date(), "array<string>": [], "map<string,string>": {}}
        made.append(
            tuple(row.get(column.name, None if column.null else of_type[column.type]) for column in contract.columns)
        )
    return spark.createDataFrame(made, contract.struct)


def checked(
    tables: Mapping[str, DataFrame], name: str, expected: Sequence[Mapping[str, Any]], *, days: int = 35
) -> dict[str, Finding]:
    """What is found of a table: name of each expectation to its finding."""
    parsed = parse_expectations({name: list(expected)}, where="test")[name]
    found = check_table(tables, name, parsed, as_of=AS_OF, days=days, quote=8)
    assert [each.expectation for each in found] == list(parsed)
    return {each.expectation.name: each for each in found}
