"""Both jobs on a small lake: what they write, what they say of it, and that a run made again is the same."""

from __future__ import annotations

import json
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from offerlake import files
from offerlake.artifacts import Artifacts
from offerlake.config import Settings, load_settings
from offerlake.job import execute
from offerlake.pipeline import load_jobs
from offerlake.schemas import table
from offerlake.tables import Lake
from offerlake.value.boosted import Boosted, predict
from offerlake.value.histories import summary
from value import made
from value.test_segments import KINDS, features

DAYS = 240
AS_OF = made.START + timedelta(days=DAYS)


def settings_of(root: Path, *sets: str) -> Settings:
    small = ("evaluate.bootstrap=40", "segments.k_min=4", "segments.k_max=4", "clv.boosted=true", "clv.trees=2")
    return load_settings([], [f"run.lake={root}", *small, *sets], env={})


def _run(spark: SparkSession, settings: Settings, job: str, *, as_of: date = AS_OF, run_id: str = "run1") -> Lake:
    execute(load_jobs()[job], spark=spark, settings=settings, as_of=as_of, run_id=run_id)
    return Lake(spark, settings.run.lake)


def _metrics(lake: Lake, run_id: str = "run1") -> dict[tuple[str, str], Any]:
    rows = lake.read("metrics").where(F.col("run_id") == run_id).collect()
    return {(row["name"], row["slice"]): row for row in rows}


def _rows(lake: Lake, name: str) -> list[tuple[Any, ...]]:
    return sorted(tuple(map(str, row)) for row in lake.read(name).collect())


def test_build_clv_judges_fits_and_writes_who_has_bought(spark: SparkSession, tmp_path: Path) -> None:
    settings = settings_of(tmp_path)
    bought = [(user, day, day + 1, 1, spent) for user, day, spent in made.purchases(600, days=DAYS, seed=21)]
    lake = Lake(spark, str(tmp_path))
    lake.write("user_days", made.user_days(spark, [*bought, ("looker", 3, 4, 0, 0)]))

    _run(spark, settings, "build_clv")
    rows = lake.read("user_value")
    assert rows.count() == rows.select("user_id").distinct().count() == 600
    assert rows.where("user_id = 'looker'").count() == 0
    assert rows.where("clv IS NULL OR next_value_boosted IS NULL OR p_alive NOT BETWEEN 0 AND 1").count() == 0
    assert rows.where("clv > expected_value").count() == 0
    assert rows.where("monetary IS NULL").count() == rows.where("frequency = 0").count() > 0

    numbers = _metrics(lake)
    assert numbers["clv.users", "all"]["value"] == 600
    assert numbers["clv.grain_days", "all"]["value"] == 1
    # Customers drop out and come at their own rates: who goes on as before is expected too much of.
    for what in ("purchases", "money"):
        gain = numbers[f"clv.{what}.gain", "all"]
        assert gain["low"] > 0, f"BG/NBD foresees {what} better than the past rate, beyond chance"
        assert numbers[f"clv.{what}.calibration", "all"]["value"] == pytest.approx(1.0, abs=0.15)
    assert numbers["clv.rate.purchases.rmse", "all"]["value"] > numbers["clv.purchases.rmse", "all"]["value"]
    assert numbers["clv.boosted.money.rmse", "all"]["value"] > 0
    assert numbers["clv.parameter", "name=r"]["value"] == pytest.approx(1.5, rel=0.4)
    assert abs(numbers["clv.money_correlation", "all"]["value"]) < 0.15, "made without one"

    model = Artifacts(lake).load("clv")
    content = json.loads(files.read_bytes(spark, model.file("clv.json")))
    assert content["purchases"]["r"] == numbers["clv.parameter", "name=r"]["value"]
    again = predict(summary(AS_OF, lake.read("user_days")), Boosted.load(spark, model.file), column="again")
    assert again.join(rows, on="user_id").where("again = next_value_boosted").count() == 600, "the model is kept whole"


def test_nobody_who_bought_leaves_an_empty_table_and_no_model(spark: SparkSession, tmp_path: Path) -> None:
    lake = Lake(spark, str(tmp_path))
    lake.write("user_days", made.user_days(spark, [("looker", 3, 4, 0, 0)]))
    _run(spark, settings_of(tmp_path), "build_clv")
    assert lake.read("user_value").count() == 0
    assert _metrics(lake)["clv.users", "all"]["value"] == 0
    assert not lake.exists("models")


def _known(spark: SparkSession, frame: DataFrame, as_of: date) -> DataFrame:
    """The table user_features with what the frame has."""
    blank = {
        column.name: F.lit(None).cast(column.type)
        if column.null
        else (F.create_map() if column.type.startswith("map") else F.lit(0)).cast(column.type)
        for column in table("user_features").columns
        if column.name not in frame.columns and column.name != "as_of"
    }
    return table("user_features").select(frame.withColumns(blank).withColumn("as_of", F.lit(as_of)))


def test_build_segments_keeps_names_while_kinds_of_users_last(spark: SparkSession, tmp_path: Path) -> None:
    settings = settings_of(tmp_path, "clv.enabled=false")
    lake, later = Lake(spark, str(tmp_path)), AS_OF + timedelta(days=7)
    lake.write("user_features", _known(spark, features(spark), AS_OF), where={"as_of": AS_OF})
    _run(spark, settings, "build_segments")

    first = lake.read("segment_profiles").orderBy("segment").collect()
    assert [row["segment"] for row in first] == [1, 2, 3, 4]
    assert [row["users"] for row in first] == [40] * 4
    assert len({row["name"] for row in first}) == 4
    numbers = _metrics(lake)
    assert (numbers["segments.k", "all"]["value"], numbers["segments.chosen", "method=kmeans"]["value"]) == (4, 1)
    assert numbers["segments.silhouette", "all"]["value"] > 0.8
    assert ("segments.kept", "all") not in numbers
    joined = lake.read("segments").join(lake.read("segment_profiles"), on=["as_of", "segment", "name"], how="inner")
    assert joined.count() == lake.read("segments").count() == 160

    # A week later: everybody as before, but that those who lapsed come back and spend much.
    changed = {**KINDS, "lapsed": (10.0, 8, 400.0, 0.0, 25)}
    lake.write("user_features", _known(spark, features(spark, kinds=changed), later), where={"as_of": later})
    _run(spark, settings, "build_segments", as_of=later, run_id="run2")
    of: dict[date, dict[str, tuple[int, str]]] = {AS_OF: {}, later: {}}
    for row in lake.read("segments").collect():
        of[row["as_of"]][row["user_id"].split("-")[0]] = (row["segment"], row["name"])
    assert of[later]["looker"] == of[AS_OF]["looker"]
    assert of[later]["dealer"] == of[AS_OF]["dealer"]
    assert of[later]["lapsed"][0] == 5, "a new number for what was not there before"
    assert of[later]["lapsed"][1] != of[AS_OF]["lapsed"][1]
    again = _metrics(lake, "run2")
    assert again["segments.kept", "all"]["value"] == 3
    assert 0.5 < again["segments.kept_users", "all"]["value"] < 1.0
    tables = {name: _rows(lake, name) for name in ("segments", "segment_profiles")}
    _run(spark, settings, "build_segments", as_of=later, run_id="run2")
    assert {name: _rows(lake, name) for name in tables} == tables, "made again, it begins with the same former segments"
    assert _metrics(lake, "run2")["segments.kept", "all"]["value"] == 3


def test_users_all_alike_make_no_segments_and_stop_nothing(spark: SparkSession, tmp_path: Path) -> None:
    lake = Lake(spark, str(tmp_path))
    lake.write("user_features", _known(spark, features(spark, each=1).limit(3), AS_OF), where={"as_of": AS_OF})
    _run(spark, settings_of(tmp_path, "clv.enabled=false"), "build_segments")
    assert lake.read("segments").count() == lake.read("segment_profiles").count() == 0
    assert _metrics(lake)["segments.k", "all"]["value"] == 0


def test_the_settings_leave_them_out() -> None:
    jobs = load_jobs()
    for name in ("clv", "segments"):
        assert jobs[f"build_{name}"].when(load_settings([], [], env={}))
        assert not jobs[f"build_{name}"].when(load_settings([], [f"{name}.enabled=false"], env={}))
