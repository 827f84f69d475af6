"""A model is found only once it is whole, and the newest live one is the one in use."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from pyspark.sql import SparkSession

from offerlake import files
from offerlake.artifacts import Artifacts
from offerlake.errors import DataError, EnvironmentProblem, MissingTableError
from offerlake.tables import Lake


def test_the_pointer_moves_after_the_files_are_written(spark: SparkSession, tmp_path: Path) -> None:
    models = Artifacts(Lake(spark, str(tmp_path / "lake")))
    with pytest.raises(MissingTableError, match="model als does not exist"):
        models.load("als")

    first = models.draft("als", "r1-1", {"rank": 8})
    files.write_bytes(spark, first.file("factors.json"), b"one")
    with pytest.raises(MissingTableError):
        models.load("als")
    models.publish(first, run_id="r1", inputs={"interactions": 3})
    assert models.load("als") == first
    assert files.read_bytes(spark, models.load("als").file("factors.json")) == b"one"

    half = models.draft("als", "r2-1", {"rank": 16})
    files.write_bytes(spark, half.file("factors.json"), b"half")
    assert models.load("als") == first, "a draft is nobody's"
    rejected = models.draft("als", "r3-1", {"rank": 32})
    models.publish(rejected, run_id="r3", inputs={}, status="rejected")
    assert models.load("als") == first, "a rejected version is kept, not used"
    models.publish(half, run_id="r2", inputs={})
    assert models.load("als").settings == {"rank": 16}
    with pytest.raises(MissingTableError):
        models.load("response")


def test_a_draft_begins_empty(spark: SparkSession, tmp_path: Path) -> None:
    models = Artifacts(Lake(spark, str(tmp_path / "lake")))
    files.write_bytes(spark, models.draft("als", "r1-1", {}).file("left over"), b"x")
    again = models.draft("als", "r1-1", {})
    assert files.names(spark, again.path) == []


def test_small_files_appear_whole(spark: SparkSession, tmp_path: Path) -> None:
    uri = f"{tmp_path}/a/b.txt"
    assert not files.exists(spark, uri)
    with pytest.raises(DataError, match=r"b\.txt"):
        files.read_bytes(spark, uri)
    files.write_bytes(spark, uri, b"old")
    files.write_bytes(spark, uri, bytes(range(256)))
    assert files.read_bytes(spark, uri) == bytes(range(256))
    assert files.names(spark, f"{tmp_path}/a") == ["b.txt"]
    files.rename(spark, uri, f"{tmp_path}/a/c.txt")
    assert files.names(spark, f"{tmp_path}/a") == ["c.txt"]
    files.delete(spark, f"{tmp_path}/a")
    files.delete(spark, f"{tmp_path}/a")
    assert not files.exists(spark, f"{tmp_path}/a")


class Refusing:
    """A Hadoop file system that does all but rename, and says so the way HDFS does."""

    def __init__(self, system: Any) -> None:
        self.system = system

    def __getattr__(self, name: str) -> Any:
        return getattr(self.system, name)

    def rename(self, *_: Any) -> bool:
        return False


def test_a_rename_that_the_storage_did_not_do_is_no_success(
    spark: SparkSession, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = files._hadoop
    files.write_bytes(spark, f"{tmp_path}/there", b"x")
    monkeypatch.setattr(files, "_hadoop", lambda spark, uri: (Refusing(real(spark, uri)[0]), real(spark, uri)[1]))
    for act, source, target in (
        (lambda: files.write_bytes(spark, f"{tmp_path}/report", b"x"), "report.part", "report"),
        (lambda: files.rename(spark, f"{tmp_path}/there", f"{tmp_path}/drop"), "there", "drop"),
    ):
        with pytest.raises(EnvironmentProblem) as caught:
            act()
        assert caught.value.message == (
            f"file {tmp_path}/{target}: the storage did not rename {tmp_path}/{source} to it"
        )
        assert caught.value.fix.startswith("See that you may write to its folder")
    assert files.names(spark, str(tmp_path)) == ["report.part", "there"]
