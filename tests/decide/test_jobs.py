"""The jobs that assign and publish: a published run is final."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from pyspark.sql import Row, SparkSession
from pyspark.sql import functions as F

from decide.made import DAY, features, frame, offer, score, user
from offerlake.config import Settings
from offerlake.decide.assignment import Catalogue
from offerlake.errors import DataError, GateError
from offerlake.job import Job, execute
from offerlake.pipeline import load_jobs
from offerlake.schemas import table
from offerlake.tables import Lake
from offerlake.windows import midnight

SCORES = [score("u1", "o1", 0.5, 0.4), score("u2", "o3", 0.3, 0.5), score("u3", "o3", -0.1, 0.2)]


@pytest.fixture(scope="module")
def jobs() -> dict[str, Job]:
    """All jobs."""
    return load_jobs()


def filled(spark: SparkSession, root: Path, catalogue: Catalogue, scores: list[dict[str, Any]]) -> Lake:
    """A lake with what is assigned from."""
    lake = Lake(spark, str(root))
    for name in ("users", "offers", "redemptions", "candidates"):
        lake.write(name, getattr(catalogue, name))
    lake.write("offer_scores", frame(spark, "offer_scores", scores))
    return lake


def own(settings: Settings, root: Path, budget: float) -> Settings:
    """The settings of this lake."""
    places = {"lake": str(root / "lake"), "publish": str(root / "drops")}
    decide = {"budget": budget, "holdout_share": 0.0, "explore_share": 0.0}
    return settings.model_copy(
        update={
            "run": settings.run.model_copy(update=places),
            "decide": settings.decide.model_copy(update=decide),
        }
    )


def test_a_published_run_is_final(
    spark: SparkSession, settings: Settings, catalogue: Catalogue, jobs: dict[str, Job], tmp_path: Path
) -> None:
    lake = filled(spark, tmp_path / "lake", catalogue, SCORES)

    def go(name: str, run_id: str, *, budget: float = 1.0, force: bool = False) -> None:
        chosen = own(settings, tmp_path, budget)
        execute(jobs[name], spark=spark, settings=chosen, as_of=DAY, run_id=run_id, force=force)

    def rows(run_id: str) -> list[Row]:
        found = lake.read("user_offers").where(F.col("run_id") == run_id)
        return sorted(found.collect(), key=lambda row: str(row["user_id"]))

    go("assign_offers", "r1", budget=0.45)
    go("assign_offers", "r1")  # not published yet: it replaces itself
    first = rows("r1")
    assert [row["offer_id"] for row in first] == ["o1", "o3", None, None, None]
    metrics = {row["name"]: row["value"] for row in lake.read("metrics").collect()}
    assert (metrics["offers.budget"], metrics["offers.price"]) == (1.0, 0.0)
    assert sum(float(row["expected_cost"] or 0) for row in first) == pytest.approx(0.9)

    go("publish_offers", "r1")
    manifest = json.loads((tmp_path / "drops" / DAY.isoformat() / "r1" / "manifest.json").read_text())
    assert (manifest["rows"], manifest["users"]) == (2, 5)

    # The same run again: nothing changes, whatever the scores say now.
    lake.write("offer_scores", frame(spark, "offer_scores", SCORES[:1]))
    go("assign_offers", "r1")
    go("publish_offers", "r1")
    assert rows("r1") == first

    # Killed when the drop was out and the ledger did not know: what has been sent stays.
    other = filled(spark, tmp_path / "other", catalogue, SCORES[:1])
    other.write("user_offers", lake.read("user_offers"))
    moved = own(settings, tmp_path, 0.1)
    moved = moved.model_copy(update={"run": moved.run.model_copy(update={"lake": other.root})})
    execute(jobs["assign_offers"], spark=spark, settings=moved, as_of=DAY, run_id="r1")
    assert other.read("user_offers").where("offer_id IS NOT NULL").count() == 2

    # Another run of the same day is refused, also by the drop alone, and comes beside the first where it is forced.
    with pytest.raises(DataError, match="published by run r1"):
        go("assign_offers", "r2")
    assert rows("r2") == []
    go("assign_offers", "r2", force=True)
    assert [row["offer_id"] for row in rows("r2")] == ["o1", None, None, None, None]
    assert rows("r1") == first


def test_a_run_that_has_not_passed_the_gate_is_not_published(
    spark: SparkSession, settings: Settings, catalogue: Catalogue, jobs: dict[str, Job], tmp_path: Path
) -> None:
    lake = filled(spark, tmp_path / "lake", catalogue, SCORES)
    chosen = own(settings, tmp_path, 1.0)
    gated = chosen.model_copy(update={"evaluate": chosen.evaluate.model_copy(update={"gate": True})})

    def go(name: str) -> None:
        execute(jobs[name], spark=spark, settings=gated, as_of=DAY, run_id="r1")

    def judged(value: float) -> None:
        row = ("r1", DAY, "gate.passed", "all", value, None, None)
        lake.write("metrics", spark.createDataFrame([row], table("metrics").struct))

    go("assign_offers")
    judged(0.0)
    with pytest.raises(GateError, match="run r1 has not passed the gate") as told:
        go("publish_offers")
    assert told.value.exit_code == 3
    assert not (tmp_path / "drops").exists()
    judged(1.0)
    go("publish_offers")
    assert (tmp_path / "drops" / DAY.isoformat() / "r1" / "manifest.json").is_file()


def test_when_all_offers_have_expired_the_run_says_so_and_writes_nothing(
    spark: SparkSession, settings: Settings, jobs: dict[str, Job], tmp_path: Path
) -> None:
    lake = Lake(spark, str(tmp_path / "lake"))
    offers = [offer("old", valid_to=midnight(DAY)), offer("mute", channels=[])]
    tables = {"users": [user("u1"), user("u2")], "offers": offers, "user_features": [features("u1", 50.0)]}
    for name in ("users", "offers", "offer_products", "user_features"):
        lake.write(name, frame(spark, name, tables.get(name, [])))
    with pytest.raises(DataError) as told:
        execute(jobs["score_offers"], spark=spark, settings=own(settings, tmp_path, 1.0), as_of=DAY, run_id="r1")
    assert told.value.message == (
        f"offers: nobody may get any of them on {DAY}"
        " (2 pairs of user and offer: expired, 2 pairs of user and offer: no_channel)"
    )
    assert told.value.exit_code == 1
    assert not lake.exists("offer_scores")
