"""Delta tables by contract: slices, merges, appends, and writes that are refused."""

from __future__ import annotations

import os
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from delta.tables import DeltaTable
from pyspark.errors import PySparkException
from pyspark.sql import DataFrame, SparkSession

from offerlake.errors import EnvironmentProblem, MissingTableError, SchemaError
from offerlake.schemas import Table, table
from offerlake.tables import Lake, Written

ITEM = [("p1", 0.5, "als")]
D1, D2 = date(2025, 1, 1), date(2025, 1, 2)


@pytest.fixture
def lake(spark: SparkSession, tmp_path: Path) -> Lake:
    return Lake(spark, str(tmp_path / "lake"))


def _candidates(lake: Lake, *rows: tuple[date, str]) -> DataFrame:
    values = [(day, user, ITEM, None) for day, user in rows]
    return lake.spark.createDataFrame(values, table("candidates").struct)


def _kept(lake: Lake) -> list[tuple[date, str]]:
    return sorted((row["as_of"], row["user_id"]) for row in lake.read("candidates").collect())


def test_a_lake_may_be_named_from_where_the_process_runs(spark: SparkSession, tmp_path: Path) -> None:
    lake = Lake(spark, os.path.relpath(tmp_path / "my lake/"))
    lake.write("candidates", _candidates(lake, (D1, "u1")))
    assert lake.path("candidates") == str(tmp_path / "my lake" / "gold" / "candidates")
    assert _kept(Lake(spark, f"file://{tmp_path}/my lake")) == [(D1, "u1")]


def test_a_slice_is_replaced_whole_and_alone(lake: Lake) -> None:
    lake.write("candidates", _candidates(lake, (D1, "u1"), (D1, "u2"), (D2, "u1")))
    written = lake.write("candidates", _candidates(lake, (D1, "u3")), where={"as_of": D1})
    assert _kept(lake) == [(D1, "u3"), (D2, "u1")]
    assert written.rows == 1
    assert written.version == lake.version("candidates")


def test_an_empty_frame_empties_its_slice(lake: Lake) -> None:
    lake.write("candidates", _candidates(lake, (D1, "u1"), (D2, "u1")))
    lake.write("candidates", _candidates(lake), where={"as_of": [D1]})
    assert _kept(lake) == [(D2, "u1")]


def test_nothing_for_nothing_makes_no_version_and_counts_no_rows(lake: Lake) -> None:
    """Delta makes no commit then, so the numbers of the last one are another write's."""
    before = lake.write("candidates", _candidates(lake, (D1, "u1"), (D1, "u2")), where={"as_of": D1})
    written = lake.write("candidates", _candidates(lake), where={"as_of": D2})
    assert (written.rows, written.version) == (0, before.version)


def test_rows_outside_the_slice_are_refused(lake: Lake) -> None:
    lake.write("candidates", _candidates(lake, (D2, "u1")))
    with pytest.raises(Exception, match="DELTA_REPLACE_WHERE_MISMATCH"):
        lake.write("candidates", _candidates(lake, (D2, "u9")), where={"as_of": D1})
    assert _kept(lake) == [(D2, "u1")]


def test_a_slice_may_have_several_columns_and_quotes(lake: Lake) -> None:
    lake.write("candidates", _candidates(lake, (D1, "o'u\\1"), (D1, "u2")))
    lake.write("candidates", _candidates(lake), where={"as_of": D1, "user_id": ["o'u\\1", "u7"]})
    assert _kept(lake) == [(D1, "u2")]


def test_a_table_without_a_slice_is_replaced(lake: Lake) -> None:
    lake.write("candidates", _candidates(lake, (D1, "u1")))
    lake.write("candidates", _candidates(lake, (D2, "u2")))
    assert _kept(lake) == [(D2, "u2")]


def test_append_appends(lake: Lake) -> None:
    frame = lake.spark.createDataFrame([("p1", 0)], table("product_index").struct)
    more = lake.spark.createDataFrame([("p2", 1)], table("product_index").struct)
    assert [lake.write("product_index", part).rows for part in (frame, more)] == [1, 1]
    assert sorted(tuple(row) for row in lake.read("product_index").collect()) == [("p1", 0), ("p2", 1)]


def test_merge_updates_by_key(lake: Lake) -> None:
    def rows(*values: tuple[str, float]) -> DataFrame:
        full = [("r1", D1, name, "all", value, None, None) for name, value in values]
        return lake.spark.createDataFrame(full, table("metrics").struct)

    lake.write("metrics", rows(("a", 1.0), ("b", 2.0)))
    lake.write("metrics", rows(("b", 3.0), ("c", 4.0)))
    found = {row["name"]: row["value"] for row in lake.read("metrics").collect()}
    assert found == {"a": 1.0, "b": 3.0, "c": 4.0}


def test_what_is_known_to_be_new_is_appended_without_a_search(lake: Lake) -> None:
    def rows(name: str) -> DataFrame:
        return lake.spark.createDataFrame([("r1", D1, name, "all", 1.0, None, None)], table("metrics").struct)

    lake.write("metrics", rows("a"))
    assert lake.write("metrics", rows("b"), fresh=True).rows == 1
    lake.write("metrics", rows("b"))
    history = DeltaTable.forPath(lake.spark, lake.path("metrics")).history().orderBy("version").collect()
    assert [row["operation"] for row in history] == ["CREATE TABLE", "MERGE", "WRITE", "MERGE"]
    assert sorted(row["name"] for row in lake.read("metrics").collect()) == ["a", "b"]


def test_null_where_none_may_be_is_refused_and_nothing_written(lake: Lake) -> None:
    lake.write("product_index", lake.spark.createDataFrame([("p1", 0)], table("product_index").struct))
    loose = lake.spark.createDataFrame([("p2", None)], "product_id string, idx int")
    with pytest.raises(SchemaError, match="product_index: null in a column that has none"):
        lake.write("product_index", loose)
    assert lake.read("product_index").count() == 1


def test_another_shape_is_refused_before_the_table_is_made(lake: Lake) -> None:
    wrong = lake.spark.createDataFrame([("p1", "x")], "product_id string, idx string")
    with pytest.raises(SchemaError, match="column idx is string"):
        lake.write("product_index", wrong)
    assert not lake.exists("product_index")


def test_a_lake_of_a_newer_schema_is_neither_read_nor_written(lake: Lake) -> None:
    lake.write("candidates", _candidates(lake, (D1, "u1")))
    path = lake.path("candidates")
    lake.spark.sql(f"ALTER TABLE delta.`{path}` SET TBLPROPERTIES ('offerlake.schema_version' = '99')")
    before = lake.version("candidates")
    met = Lake(lake.spark, lake.root)
    for act in (lambda: met.read("candidates"), lambda: met.write("candidates", _candidates(lake, (D2, "u1")))):
        with pytest.raises(SchemaError, match="schema version 99, this Offerlake knows 1"):
            act()
    assert lake.version("candidates") == before


def test_a_missing_table_says_so(lake: Lake) -> None:
    with pytest.raises(MissingTableError, match="table users does not exist"):
        lake.read("users")
    with pytest.raises(MissingTableError):
        lake.version("users")


def test_an_older_version_can_be_read(lake: Lake) -> None:
    first = lake.write("candidates", _candidates(lake, (D1, "u1"))).version
    lake.write("candidates", _candidates(lake, (D2, "u2")))
    rows = lake.read("candidates", version=first).select("user_id").collect()
    assert [row[0] for row in rows] == ["u1"]


def test_no_space_left_is_told_and_leaves_the_table_as_it_was(lake: Lake) -> None:
    """A write fails half way on a device that is full: the old version stays."""
    lake.write("candidates", _candidates(lake, (D1, "u1")))
    # Said by a task, as the file system would: a device that is full needs the right to mount one.
    rows = _candidates(lake, (D1, "u2"))
    full = rows.selectExpr(
        "as_of", "user_id", "IF(user_id = 'u2', raise_error('No space left on device'), items) AS items", "scoped"
    )
    with pytest.raises(EnvironmentProblem, match="candidates: no space left on device"):
        lake.write("candidates", full, where={"as_of": D1})
    assert _kept(lake) == [(D1, "u1")]


def test_a_folder_that_cannot_be_written_is_told(spark: SparkSession, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not a folder", encoding="utf-8")
    lake = Lake(spark, str(tmp_path / "file"))
    with pytest.raises(EnvironmentProblem, match="table candidates cannot be written"):
        lake.write("candidates", _candidates(lake, (D1, "u1")))


def test_tables_lie_by_layer_and_carry_their_contract(lake: Lake) -> None:
    lake.write("candidates", _candidates(lake, (D1, "u1")))
    assert os.listdir(lake.root) == ["gold"]  # noqa: PTH208  names, not paths
    detail = DeltaTable.forPath(lake.spark, lake.path("candidates")).detail().first()
    assert detail is not None
    assert detail["partitionColumns"] == ["as_of"]
    assert detail["properties"]["offerlake.schema_version"] == "1"


def test_two_runs_that_write_at_once(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    """The ledger's tables are written again; of another table it is told."""
    write, left = Lake._write, {"metrics": 2, "candidates": 1}

    def conflicting(self: Lake, contract: Table, *given: Any, **named: Any) -> Written:
        if left[contract.name]:
            left[contract.name] -= 1
            raise PySparkException("[DELTA_CONCURRENT_APPEND] ConcurrentAppendException: files were added")
        return write(self, contract, *given, **named)

    monkeypatch.setattr(Lake, "_write", conflicting)
    number = lake.spark.createDataFrame([("r", D1, "x", "all", 1.0, None, None)], schema=table("metrics").struct)
    assert lake.write("metrics", number).rows == 1
    with pytest.raises(EnvironmentProblem, match="table candidates: another run wrote it at the same time"):
        lake.write("candidates", _candidates(lake, (D1, "u1")))
