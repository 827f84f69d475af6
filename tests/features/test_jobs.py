"""The jobs on a small lake: each day adds its own, and numbers of ids stay."""

from __future__ import annotations

from pathlib import Path

import pytest
from pyspark.sql import SparkSession

from offerlake.config import Settings
from offerlake.errors import DataError
from offerlake.job import execute
from offerlake.pipeline import load_jobs
from offerlake.tables import Lake

from .shop import Shop, day, shop


def _fill(lake: Lake, made: Shop) -> None:
    for name, frame in made.tables().items():
        lake.write(name, frame)


def _tables(lake: Lake) -> dict[str, list[str]]:
    names = (
        "user_days", "user_category_days", "user_features", "user_profiles", "product_features", "interactions",
        "sequences", "user_index", "product_index", "examples", "example_sequences",
    )  # fmt: skip
    return {name: sorted(str(row) for row in lake.read(name).collect()) for name in names}


def test_jobs_write_their_day_and_leave_the_others(spark: SparkSession, settings: Settings, tmp_path: Path) -> None:
    chosen = settings.model_copy(update={"run": settings.run.model_copy(update={"lake": str(tmp_path)})})
    lake = Lake(spark, str(tmp_path))
    _fill(
        lake,
        shop(
            spark,
            products=[{"product_id": "apple", "price": 2}, {"product_id": "pear", "price": 3}],
            users=[{"user_id": "u"}, {"user_id": "v", "signup_time": "2025-03-25"}],
            offers=[{"offer_id": "ten", "depth": 0.1}],
            clicks=[{"user_id": "u", "product_id": "apple", "event_time": "2025-03-01 10:00"}],
            order_lines=[{"user_id": "u", "product_id": "pear", "order_time": "2025-03-04 10:00"}],
            exposures=[
                {"exposure_id": "final", "user_id": "u", "offer_id": "ten", "shown_at": "2025-03-03 09:00"},
                {"exposure_id": "open", "user_id": "u", "offer_id": "ten", "shown_at": "2025-03-10 09:00"},
            ],
        ),
    )
    jobs = load_jobs()

    def run(text: str) -> dict[str, list[str]]:
        for name in (
            "build_activity",
            "build_products",
            "build_features",
            "build_index",
            "build_examples",
            "build_sequences",
        ):
            execute(jobs[name], spark=spark, settings=chosen, as_of=day(text), run_id=text)
        return _tables(lake)

    first = run("2025-03-20")
    assert {name: len(rows) for name, rows in first.items()} == {
        "user_days": 6,  # two of them: the ends of the label windows
        "user_category_days": 2,
        "user_features": 1,
        "user_profiles": 1,
        "product_features": 2,
        "interactions": 2,
        "sequences": 1,
        "user_index": 1,
        "product_index": 2,
        "examples": 1,
        "example_sequences": 1,
    }
    metrics = {row.name: row.value for row in lake.read("metrics").collect()}
    assert (metrics["examples.final"], metrics["examples.open"]) == (1.0, 1.0)
    assert run("2025-03-20") == first
    with pytest.raises(DataError, match="as_of: got 2025-03-01, before which no user's click or order had arrived"):
        execute(jobs["build_features"], spark=spark, settings=chosen, as_of=day("2025-03-01"), run_id="early")

    later = run("2025-03-27")
    assert {row.user_id: row.idx for row in lake.read("user_index").collect()} == {"u": 0}  # v did nothing yet
    assert set(first["product_index"]) == set(later["product_index"])
    assert set(first["user_features"]) < set(later["user_features"])
    assert len(later["examples"]) == len(later["example_sequences"]) == 2
    assert set(first["example_sequences"]) < set(later["example_sequences"])
    assert set(first["sequences"]) < set(later["sequences"])

    several = chosen.model_copy(update={"features": settings.features.model_copy(update={"days": 8})})
    execute(jobs["build_features"], spark=spark, settings=several, as_of=day("2025-03-27"), run_id="several")
    filled = _tables(lake)
    assert len(filled["user_features"]) == 6 * 1 + 2 * 2  # v signs up on the 25th, so counts from the 26th on
    assert set(later["user_features"]) < set(filled["user_features"])
    assert filled["user_profiles"] == later["user_profiles"]


def test_a_shop_that_never_sent_anything_has_no_examples(
    spark: SparkSession, settings: Settings, tmp_path: Path
) -> None:
    chosen = settings.model_copy(update={"run": settings.run.model_copy(update={"lake": str(tmp_path)})})
    lake = Lake(spark, str(tmp_path))
    _fill(lake, shop(spark, clicks=[{"user_id": "u", "product_id": "apple", "event_time": "2025-03-01 10:00"}]))
    for name in ("build_activity", "build_examples"):
        execute(load_jobs()[name], spark=spark, settings=chosen, as_of=day("2025-03-20"), run_id="r")
    assert lake.read("examples").count() == 0
