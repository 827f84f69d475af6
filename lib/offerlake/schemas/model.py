"""What a table contract is made of."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Literal

from pyspark.sql import DataFrame
from pyspark.sql import functions as F
from pyspark.sql import types as T

from offerlake.errors import SchemaError

Layer = Literal["bronze", "silver", "gold", "ops"]
MONEY = "decimal(18,4)"
SCHEMA_VERSION = 1


@dataclass(frozen=True)
class Col:
    """One column: its SQL type, meaning (with unit and range) and whether it may be null."""

    name: str
    type: str
    meaning: str
    null: bool = False


@dataclass(frozen=True)
class Table:
    """One table's contract.

    Attributes:
        name: Folder name below its layer.
        layer: bronze, silver, gold or ops.
        grain: What one row is.
        key: Columns that are unique together, never null.
        columns: In the order in which they are written.
        partition: Date or name column that makes the folders, if any.
        mode: How a job writes it when it names no slice: `replace` the whole table, `append`, or `merge` by key.
        retention: The setting under `retention` that says how many days rows are kept.
    """

    name: str
    layer: Layer
    grain: str
    key: tuple[str, ...]
    columns: tuple[Col, ...]
    partition: str | None = None
    mode: Literal["replace", "append", "merge"] = "replace"
    retention: str = "derived_days"

    @property
    def names(self) -> list[str]:
        """Column names in order."""
        return [column.name for column in self.columns]

    @cached_property
    def struct(self) -> T.StructType:
        """The Spark schema, nullability included."""
        ddl = ", ".join(f"`{column.name}` {column.type}{'' if column.null else ' NOT NULL'}" for column in self.columns)
        parsed = T.StructType.fromDDL(ddl)
        assert isinstance(parsed, T.StructType)
        return parsed

    def select(self, frame: DataFrame) -> DataFrame:
        """Ends a step: exactly this table's columns in order, cast to its types.

        Raises:
            SchemaError: A column is missing.
        """
        self._missing(frame)
        return frame.select([F.col(f"`{field.name}`").cast(field.dataType) for field in self.struct])

    def check(self, frame: DataFrame) -> DataFrame:
        """Returns the frame if its columns and types are this table's, in any order.

        Raises:
            SchemaError: A column is missing, unknown, or of another type.
        """
        self._missing(frame)
        known = {field.name: field.dataType for field in self.struct}
        for field in frame.schema:
            if field.name not in known:
                raise SchemaError(
                    f"table {self.name}: unknown column {field.name!r}",
                    fix=f"Its columns are {', '.join(self.names)}.",
                )
            got, want = field.dataType.simpleString(), known[field.name].simpleString()
            if got != want:
                raise SchemaError(f"table {self.name}: column {field.name} is {got}", fix=f"It has to be {want}.")
        return frame.select(self.names)

    def _missing(self, frame: DataFrame) -> None:
        missing = [name for name in self.names if name not in frame.columns]
        if missing:
            raise SchemaError(
                f"table {self.name}: column {', '.join(missing)} is missing",
                fix=f"Its columns are {', '.join(self.names)}.",
            )
