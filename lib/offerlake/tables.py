"""Delta tables of a lake: read a pinned version, replace a slice, merge by key, append; each checked by contract."""

from __future__ import annotations

import json
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

from delta.tables import DeltaTable
from py4j.protocol import Py4JJavaError
from pyspark.errors import PySparkException
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from offerlake import files
from offerlake.errors import EnvironmentProblem, MissingTableError, SchemaError
from offerlake.schemas import SCHEMA_VERSION, TABLES, Table, table

Once = tuple[str, int]
"""Who writes, and which of his writes it is: of one that is there already nothing is written."""


@dataclass(frozen=True)
class Since:
    """In a slice: a day and all after it."""

    day: date


Slice = Mapping[str, str | date | Since | Sequence[str] | Sequence[date]]
Note = Mapping[str, str | int]
"""What a commit says beside its rows."""

_TRIES = 5
_CONFLICT = "DELTA_CONCURRENT"  # another process committed to the same rows in between
_PROPERTY = "offerlake.schema_version"
# Within a partition rows are in no order, so that the least and largest values of a file let none be skipped.
_EVERY = {"delta.dataSkippingNumIndexedCols": "0"}
# What has been added since a version can be read alone; of a table that only grows it costs nothing.
_BRONZE = {"delta.enableChangeDataFeed": "true"}
# Tables of a few rows a commit, often: Delta would sum the log up after every tenth.
_OPS = {"delta.checkpointInterval": "100"}
_OF_LAYER = {"bronze": _BRONZE, "ops": _OPS}


@dataclass(frozen=True)
class Written:
    """What a write did: the version it made and the rows it wrote."""

    version: int
    rows: int


class Lake:
    """The tables under one root, at `root/layer/name`."""

    def __init__(self, spark: SparkSession, root: str) -> None:
        self.spark = spark
        # Delta takes no relative path for a new table.
        self.root = root.rstrip("/") if ":" in root else files.qualified(spark, root).removeprefix("file:")
        self._checked: set[str] = set()
        # Jobs side by side write some tables together: one at a time, so that Delta sees no conflict.
        self._locks = {name: threading.RLock() for name in TABLES}

    def path(self, name: str) -> str:
        """Where a table lies."""
        return f"{self.root}/{table(name).layer}/{name}"

    def exists(self, name: str) -> bool:
        """True once the table has been written."""
        return name in self._checked or DeltaTable.isDeltaTable(self.spark, self.path(name))

    def version(self, name: str) -> int:
        """The newest Delta version.

        Raises:
            MissingTableError: The table has not been written yet.
        """
        if not self.exists(name):
            raise MissingTableError(f"table {name} does not exist in {self.root}", fix="Run the job that writes it.")
        return self._newest(name)

    def read(self, name: str, *, version: int | None = None) -> DataFrame:
        """Reads a table, checked by its contract.

        Raises:
            MissingTableError: It has not been written yet.
            SchemaError: It is not what the contract says, or a newer Offerlake wrote it.
        """
        if not self.exists(name):
            raise MissingTableError(f"table {name} does not exist in {self.root}", fix="Run the job that writes it.")
        self._check_version(name)
        reader = self.spark.read.format("delta")
        if version is not None:
            reader = reader.option("versionAsOf", version)
        return table(name).check(reader.load(self.path(name)))

    def added(self, name: str, *, after: int, to: int) -> DataFrame | None:
        """The rows that were added to a table of bronze after one version, up to another.

        None: they cannot be told, because the table's log does not reach back so far, or it is another table now.
        """
        if after == to:
            return self.read(name, version=to).limit(0)
        commits = {*files.names(self.spark, f"{self.path(name)}/_delta_log")}
        if after > to or f"{after + 1:020d}.json" not in commits:
            return None
        reader = self.spark.read.format("delta").option("readChangeFeed", "true")
        return reader.option("startingVersion", after + 1).option("endingVersion", to).load(self.path(name))

    def note(self, name: str) -> Note | None:
        """What the newest commit that says something says; None: the table is not there, or none does."""
        if not self.exists(name):
            return None
        for version in range(self._newest(name), -1, -1):
            path = f"{self.path(name)}/_delta_log/{version:020d}.json"
            if not files.exists(self.spark, path):
                return None
            said = self._commit(name, version).get("userMetadata")
            if said:
                note: Note = json.loads(said)
                return note
        return None

    def write(
        self,
        name: str,
        frame: DataFrame,
        *,
        where: Slice | None = None,
        fresh: bool = False,
        once: Once | None = None,
        note: Note | None = None,
    ) -> Written:
        """Writes a frame the way its contract says, or replaces the slice `where` (column to value or values).

        A slice is replaced whole, also when the frame is empty; rows outside it are refused by Delta. `fresh`: the
        caller knows that none of these keys is there yet, so that a table that is merged need not be searched. `once`:
        an append is left out if this writer has made one with this number, or a higher one, before. `note`: see
        `Lake.note`; a table that is merged takes none.

        Raises:
            SchemaError: The frame is not what the contract says, or has null where none may be.
            EnvironmentProblem: There is no space left, or another run wrote the table at the same time.
        """
        contract = table(name)
        checked = contract.check(frame)
        if contract.layer == "ops":
            checked = checked.coalesce(1)
        elif contract.layer != "bronze":  # what is loaded is of one day, and as it was read
            # Few, evenly sized files, a day's rows together; adaptive execution splits what is too large. Where there
            # are no days, by key: in turn, as else, Spark would sort all rows first.
            by = [contract.partition] if contract.partition else contract.key
            checked = checked.hint("rebalance", *[F.col(name) for name in by])
        tries = _TRIES if contract.layer == "ops" else 1  # these several runs write at once
        while True:
            tries -= 1
            try:
                with self._locks[name]:
                    return self._write(contract, checked, where, fresh=fresh, once=once, note=note)
            except (PySparkException, Py4JJavaError) as error:
                if tries and _CONFLICT in str(error):
                    continue
                known = explained(f"table {name}", error)
                if known is error:
                    raise
                raise known from error

    def _write(
        self,
        contract: Table,
        frame: DataFrame,
        where: Slice | None,
        *,
        fresh: bool,
        once: Once | None,
        note: Note | None,
    ) -> Written:
        name = contract.name
        self.create(name)
        before = self._newest(name)
        if where is None and contract.mode == "merge" and not fresh:
            self._merge(contract, frame)
        else:
            appends = where is None and (fresh or contract.mode == "append")
            writer = frame.write.format("delta").mode("append" if appends else "overwrite")
            if where is not None:
                writer = writer.option("replaceWhere", _condition(where))
            if once is not None:
                writer = writer.option("txnAppId", once[0]).option("txnVersion", once[1])
            if note is not None:
                writer = writer.option("userMetadata", json.dumps(note))
            writer.save(self.path(name))
        return self._last(name, before=before)

    def create(self, name: str) -> None:
        """Makes an empty table by its contract where there is none."""
        if self.exists(name):
            self._check_version(name)
            return
        contract = table(name)
        maker = (
            DeltaTable.createIfNotExists(self.spark)
            .location(self.path(name))
            .addColumns(contract.struct)
            .property(_PROPERTY, str(SCHEMA_VERSION))
            .comment(contract.grain)
        )
        if contract.partition:
            maker = maker.partitionedBy(contract.partition)
        for setting, value in (_EVERY | _OF_LAYER.get(contract.layer, {})).items():
            maker = maker.property(setting, value)
        maker.execute()
        self._checked.add(name)

    def _table(self, name: str) -> DeltaTable:
        return DeltaTable.forPath(self.spark, self.path(name))

    def _newest(self, name: str) -> int:
        """The newest commit in the table's log: a look into its folder, where Delta's own history starts Spark jobs."""
        commits = files.names(self.spark, f"{self.path(name)}/_delta_log")
        return max(int(commit[:20]) for commit in commits if commit.endswith(".json") and commit[:20].isdigit())

    def _check_version(self, name: str) -> None:
        if name in self._checked:
            return
        # Delta's own `detail` would sum up the table's log first, which takes seconds.
        place = self.path(name).replace("`", "``")
        rows = self.spark.sql(f"SHOW TBLPROPERTIES delta.`{place}`").collect()
        properties = {row["key"]: row["value"] for row in rows}
        found = int(properties.get(_PROPERTY, "0"))
        if found > SCHEMA_VERSION:
            raise SchemaError(
                f"table {name} was written with schema version {found}, this Offerlake knows {SCHEMA_VERSION}",
                fix="Install the Offerlake that wrote it, or a newer one.",
            )
        self._checked.add(name)

    def _merge(self, contract: Table, frame: DataFrame) -> None:
        same = " AND ".join(f"old.`{column}` = new.`{column}`" for column in contract.key)
        (
            self._table(contract.name)
            .alias("old")
            .merge(frame.alias("new"), same)
            .whenMatchedUpdateAll()
            .whenNotMatchedInsertAll()
            .execute()
        )

    def _last(self, name: str, *, before: int) -> Written:
        version = self._newest(name)
        if version == before:  # nothing to write and nothing to replace: Delta makes no commit
            return Written(version=version, rows=0)
        metrics = self._commit(name, version).get("operationMetrics", {})
        rows = metrics.get("numTargetRowsInserted", metrics.get("numOutputRows", "0"))
        return Written(version=version, rows=int(rows) - int(metrics.get("numCopiedRows", "0")))

    def _commit(self, name: str, version: int) -> dict[str, Any]:
        """What a commit says of itself."""
        commit = files.read_bytes(self.spark, f"{self.path(name)}/_delta_log/{version:020d}.json")
        # One action a line; the one with what was done comes first.
        actions = (json.loads(line) for line in commit.splitlines())
        said: dict[str, Any] = next(action["commitInfo"] for action in actions if "commitInfo" in action)
        return said


def _condition(where: Slice) -> str:
    parts = []
    for column, wanted in where.items():
        if isinstance(wanted, Since):
            parts.append(f"`{column}` >= {_literal(wanted.day)}")
            continue
        values: list[str | date] = [wanted] if isinstance(wanted, str | date) else [*wanted]
        parts.append(f"`{column}` IN ({', '.join(_literal(value) for value in values)})")
    return " AND ".join(parts)


def _literal(value: str | date) -> str:
    if isinstance(value, date):
        return f"DATE'{value.isoformat()}'"
    escaped = value.replace("\\", "\\\\").replace("'", "\\'")
    return f"'{escaped}'"


_NOT_WRITABLE = (
    "DELTA_CANNOT_CREATE_LOG_PATH",
    "Mkdirs failed to create",
    "ParentNotDirectoryException",
    "Permission denied",
    "Read-only file system",
)


def explained(what: str, error: Exception) -> Exception:
    """What a user can mend of an error of Spark's, as an error of ours; any other as it is."""
    text = str(error)
    first = text.strip().partition("\n")[0][:200]
    if "DELTA_NOT_NULL_CONSTRAINT_VIOLATED" in text:
        return SchemaError(f"{what}: null in a column that has none: {first}", fix="Quarantine such rows.")
    if "No space left on device" in text:
        return EnvironmentProblem(f"{what}: no space left on device", fix="Free space and run again.")
    if _CONFLICT in text:
        return EnvironmentProblem(f"{what}: another run wrote it at the same time", fix="Wait for it and run again.")
    if reason := next((sign for sign in _NOT_WRITABLE if sign in text), None):
        return EnvironmentProblem(
            f"{what} cannot be written: {reason}", fix="Choose a place with --lake that you may write to."
        )
    return error
