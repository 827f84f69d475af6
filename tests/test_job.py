"""A job sees what it declares, and the ledger sees the job."""

from __future__ import annotations

import math
from datetime import date
from pathlib import Path

import pytest
from pyspark.sql import SparkSession

from offerlake.config import Settings
from offerlake.errors import DataError, MissingTableError, SchemaError
from offerlake.job import Context, Job, execute
from offerlake.ledger import Ledger, code_version, run_id_of
from offerlake.schemas import table
from offerlake.tables import Lake

DAY = date(2025, 9, 3)


@pytest.fixture
def mine(settings: Settings, tmp_path: Path) -> Settings:
    return settings.model_copy(update={"run": settings.run.model_copy(update={"lake": str(tmp_path / "lake")})})


def _run(spark: SparkSession, settings: Settings, job: Job) -> Context:
    return execute(job, spark=spark, settings=settings, as_of=DAY, run_id="r1")


def test_a_finished_job_is_in_the_ledger_with_all_it_did(spark: SparkSession, mine: Settings) -> None:
    def work(ctx: Context) -> None:
        rows = ctx.spark.createDataFrame([("p1", 0), ("p2", 1)], table("product_index").struct)
        assert ctx.write("product_index", rows) == 2
        assert ctx.read("product_index").count() == 2
        ctx.count(rows_in=3, duplicates=1)
        ctx.count(rows_in=1, rows_out=2, quarantined=1)
        ctx.metric("good", 0.5, low=0.25, high=math.inf)
        ctx.metric("undefined", math.nan, part="category=a")

    context = _run(spark, mine, Job("index", reads=("product_index",), writes=("product_index",), run=work))

    lake = Lake(spark, mine.run.lake)
    start, finish = lake.read("runs").orderBy("time").collect()
    assert (start["event"], start["attempt"], start["rows_in"]) == ("start", 1, None)
    assert (finish["event"], finish["attempt"]) == ("finish", 1)
    counts = [finish[name] for name in ("rows_in", "rows_out", "duplicates", "quarantined")]
    assert counts == [4, 2, 1, 1]
    assert finish["inputs"] == finish["outputs"] == {"product_index": context.outputs["product_index"]}
    assert (finish["config_hash"], finish["code_version"]) == (mine.hash, code_version())
    assert finish["seconds"] > 0
    metrics = {row["name"]: tuple(row)[2:] for row in lake.read("metrics").collect()}
    assert metrics == {
        "good": ("good", "all", 0.5, 0.25, None),
        "undefined": ("undefined", "category=a", None, None, None),
    }


def test_a_job_that_fails_leaves_its_error_and_no_metrics(spark: SparkSession, mine: Settings) -> None:
    def work(ctx: Context) -> None:
        ctx.metric("half", 1.0)
        raise DataError("feed clicks is missing", fix="Land it.")

    with pytest.raises(DataError, match="feed clicks is missing"):
        _run(spark, mine, Job("bad", reads=(), writes=(), run=work))

    lake = Lake(spark, mine.run.lake)
    rows = lake.read("runs").orderBy("time").collect()
    assert [(row["event"], row["error"]) for row in rows] == [
        ("start", None),
        ("fail", "DataError: feed clicks is missing"),
    ]
    assert not lake.exists("metrics")
    assert Ledger(lake, mine, run_id="r1", as_of=DAY).attempt("bad") == 2


def test_numbers_of_a_failed_attempt_are_replaced_by_the_next(spark: SparkSession, mine: Settings) -> None:
    def work(ctx: Context) -> None:
        ctx.metric("seen", float(ctx.attempt))
        if ctx.attempt == 1:
            ctx.flush_metrics()  # as before a gate that refuses
            raise DataError("refused", fix="Try again.")
        ctx.metric("more", 5.0)

    job = Job("gate", reads=(), writes=(), run=work)
    with pytest.raises(DataError, match="refused"):
        _run(spark, mine, job)
    _run(spark, mine, job)

    rows = Lake(spark, mine.run.lake).read("metrics").collect()
    assert sorted((row["name"], row["value"]) for row in rows) == [("more", 5.0), ("seen", 2.0)]


@pytest.mark.parametrize(
    ("act", "message"),
    [
        (lambda ctx: ctx.read("users"), "job narrow: users is not in its `reads`"),
        (lambda ctx: ctx.write("users", ctx.spark.range(1)), "job narrow: users is not in its `writes`"),
        (lambda ctx: ctx.model("als"), "job narrow: model:als is not in its `reads`"),
        (lambda ctx: ctx.draft_model("als", {}), "job narrow: model:als is not in its `writes`"),
    ],
)
def test_what_a_job_does_not_declare_is_refused(spark: SparkSession, mine: Settings, act: object, message: str) -> None:
    job = Job("narrow", reads=("clicks",), writes=("products",), run=lambda _: None)
    context = Context(spark, mine, DAY, "r1", job, 1, Lake(spark, mine.run.lake))
    assert callable(act)
    with pytest.raises(SchemaError) as caught:
        act(context)
    assert caught.value.message == message


def test_reads_are_pinned_to_the_version_first_seen(spark: SparkSession, mine: Settings) -> None:
    job = Job("pinned", reads=("product_index",), writes=("product_index",), run=lambda _: None)
    context = Context(spark, mine, DAY, "r1", job, 1, Lake(spark, mine.run.lake))
    with pytest.raises(MissingTableError, match="product_index does not exist"):
        context.read("product_index")
    one = spark.createDataFrame([("p1", 0)], table("product_index").struct)
    context.write("product_index", one)
    assert context.read("product_index").count() == 1
    context.write("product_index", one.selectExpr("'p2' AS product_id", "1 AS idx"))
    assert context.read("product_index").count() == 1
    assert context.lake.read("product_index").count() == 2


def test_the_run_id_is_of_day_settings_code_and_salt(settings: Settings) -> None:
    first = run_id_of(settings, DAY)
    other = settings.model_copy(update={"run": settings.run.model_copy(update={"seed": 99})})
    assert first == run_id_of(settings, DAY)
    assert (
        len({first, run_id_of(other, DAY), run_id_of(settings, date(2025, 9, 4)), run_id_of(settings, DAY, salt=1)})
        == 4
    )
