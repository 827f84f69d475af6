"""The contract of every table: grain, key, columns with meaning and unit."""

from __future__ import annotations

import difflib

from offerlake.errors import SchemaError
from offerlake.schemas import bronze, gold, ops, silver, value
from offerlake.schemas.model import MONEY, SCHEMA_VERSION, Col, Layer, Table

__all__ = ["MONEY", "SCHEMA_VERSION", "TABLES", "Col", "Layer", "Table", "table"]

TABLES: dict[str, Table] = {
    contract.name: contract for contract in (*bronze.TABLES, *silver.TABLES, *gold.TABLES, *value.TABLES, *ops.TABLES)
}
"""Table name to its contract."""


def table(name: str) -> Table:
    """Finds a contract by its table's name.

    Raises:
        SchemaError: There is no such table.
    """
    if name not in TABLES:
        near = difflib.get_close_matches(name, TABLES, n=1)
        raise SchemaError(
            f"table {name!r} does not exist",
            fix=f"Did you mean {near[0]}?" if near else f"There are {', '.join(TABLES)}.",
        )
    return TABLES[name]
