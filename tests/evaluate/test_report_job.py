"""The report's sums, and the job that writes the page, on a small lake."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pytest
from pyspark.sql import DataFrame, SparkSession

from offerlake.config import load_settings
from offerlake.evaluate import facts
from offerlake.evaluate.facts import Feed, Group, JobRun, Number, Rejection
from offerlake.job import execute
from offerlake.pipeline import load_jobs
from offerlake.schemas import table
from offerlake.tables import Lake

AS_OF = date(2025, 9, 3)
NOW = datetime(2025, 9, 3, tzinfo=UTC)
FILL: dict[str, Any] = {"string": "x", "double": 0.0, "int": 1, "bigint": 0, "date": AS_OF, "timestamp": NOW}


def frame(spark: SparkSession, name: str, rows: list[dict[str, Any]]) -> DataFrame:
    """Rows of a table; what they leave out is filled in: null where it may be."""
    contract = table(name)
    values = [
        tuple(
            row.get(column.name, None if column.null else FILL.get(column.type, [] if "array" in column.type else {}))
            for column in contract.columns
        )
        for row in rows
    ]
    return spark.createDataFrame(values, contract.struct)


def assigned(spark: SparkSession) -> DataFrame:
    ten = {"kind": "percent_off", "depth": 0.1, "channel": "email", "offer_id": "ten"}
    rows = [
        {
            **ten,
            "user_id": "u1",
            "arm": "model",
            "expected_cost": 1.0,
            "expected_value": 2.0,
            "reasons": ["value=2.0000"],
        },
        {
            **ten,
            "user_id": "u2",
            "arm": "model",
            "expected_cost": 0.5,
            "expected_value": 3.0,
            "reasons": ["value=3.0000"],
        },
        {**ten, "user_id": "u3", "arm": "explore", "expected_cost": 0.5, "expected_value": -1.0},
        {"user_id": "u4", "arm": "model", "kind": "none", "reasons": ["best_value=-1.0000"]},
        {"user_id": "u5", "arm": "holdout", "kind": "none", "reasons": ["holdout=0.0500"]},
    ]
    return frame(spark, "user_offers", [{"run_id": "r1", "product_ids": ["p1"], **row} for row in rows])


def refused(spark: SparkSession) -> DataFrame:
    rows = [
        ("1", "ingest", "malformed_csv:a,b"),
        ("2", "clean_orders", "range:quantity='0'"),
        ("3", "clean_orders", "range:price='-1'"),
    ]
    return frame(
        spark, "quarantine", [{"record_id": i, "feed": "orders", "job": job, "reasons": [why]} for i, job, why in rows]
    )


def test_feeds_are_counted_from_the_files_to_silver(spark: SparkSession) -> None:
    known = {
        (f"clean.orders.{name}", "all"): Number(float(n))
        for name, n in (("rows_in", 10), ("rows_out", 7), ("duplicates", 1), ("quarantined", 2))
    }

    counted, why = facts.feeds(known, refused(spark), ["orders", "clicks"])

    assert counted == (Feed("orders", 11, 7, 1, 3), Feed("clicks", 0, 0, 0, 0))
    assert [feed.lost for feed in counted] == [0, 0]
    landed = {("ingest.orders.rows", "all"): Number(12.0)}  # by the job that read the files; two never came to cleaning
    assert [feed.lost for feed in facts.feeds(known | landed, refused(spark), ["orders"])[0]] == [2]
    assert why == (Rejection("orders", "range", 2), Rejection("orders", "malformed_csv", 1))


def test_groups_examples_and_silence(spark: SparkSession) -> None:
    rows = assigned(spark)

    assert facts.groups(rows)[0] == Group("model", "ten", "percent_off", 0.1, "email", 2, 1.5, 5.0)
    assert {(group.arm, group.users) for group in facts.groups(rows)} == {
        ("model", 2),
        ("model", 1),
        ("explore", 1),
        ("holdout", 1),
    }
    assert facts.silent(rows) == {"best_value": 1}
    assert [(e.user_id, e.reasons, e.products) for e in facts.examples(rows)] == [("u2", ("value=3.0000",), ("p1",))]


def test_promises_are_means_by_offer_and_null_without_a_control(spark: SparkSession) -> None:
    rows = [
        {
            "user_id": "u1",
            "offer_id": "a",
            "p_redeem": 0.1,
            "expected_cost": 1.0,
            "uplift": 0.02,
            "expected_margin": 3.0,
        },
        {
            "user_id": "u2",
            "offer_id": "a",
            "p_redeem": 0.3,
            "expected_cost": 2.0,
            "uplift": 0.0,
            "expected_margin": -1.0,
        },
        {"user_id": "u1", "offer_id": "b", "p_redeem": 0.2, "expected_cost": 1.0},
    ]

    a, b = facts.promises(frame(spark, "offer_scores", rows))

    assert (a.offer_id, a.users, a.p_redeem, a.cost) == ("a", 2, pytest.approx(0.2), 1.5)
    assert (a.uplift, a.value, a.worthwhile) == (pytest.approx(0.01), 1.0, 0.5)
    assert (b.uplift, b.value, b.worthwhile) == (None, None, None)


def test_the_last_finished_attempt_of_a_job_counts(spark: SparkSession) -> None:
    rows = [
        {"job": "ingest", "attempt": 1, "event": "finish", "seconds": 9.0, "rows_out": 1},
        {"job": "ingest", "attempt": 2, "event": "finish", "seconds": 3.0, "rows_out": 5},
        {"job": "ingest", "attempt": 3, "event": "fail", "seconds": 1.0},
        {"job": "pipeline", "attempt": 1, "event": "finish", "seconds": 99.0},
    ]

    assert facts.jobs(frame(spark, "runs", rows)) == (JobRun("ingest", 3.0, 5),)


def test_columns_that_came_or_changed_after_the_first_load(spark: SparkSession) -> None:
    days = [datetime(2025, 9, day, 12, tzinfo=UTC) for day in (1, 2, 3)]
    rows = [
        ("orders", "id", "string", 0),
        ("orders", "note", "string", 0),
        ("orders", "note", "number", 0),
        ("orders", "colour", "string", 1),
        ("orders", "note", "object", 2),
        ("users", "id", "string", 2),
    ]
    seen = [
        {"feed": feed, "column": column, "type": kind, "first_source": "f", "first_seen": days[day]}
        for feed, column, kind, day in rows
    ]
    assert facts.columns(frame(spark, "source_columns", seen)) == (
        facts.ColumnChange("orders", "note", "object", ("number", "string"), date(2025, 9, 3)),
        facts.ColumnChange("orders", "colour", "string", (), date(2025, 9, 2)),
    )


def recommended() -> dict[str, list[dict[str, Any]]]:
    """u1 buys tea and cake; what is of another day does not count."""
    own, alike, popular = (
        {"product_id": product, "score": 1.0, "source": source}
        for product, source in (("tea", "own"), ("gin", "als"), ("cake", "popular"))
    )
    bought = [("u1", "tea", 4), ("u1", "cake", 1), ("u1", "gin", 0), ("u2", "tea", 2)]
    versions = [("tea", "Tea", 1), ("tea", "Tea, new", 2), ("gin", None, 1), ("cake", None, 1), ("rum", "Rum", 1)]
    return {
        "candidates": [
            {"as_of": AS_OF, "user_id": "u1", "items": [own, alike]},
            {"as_of": AS_OF, "user_id": "u2", "items": [popular]},
            {"as_of": date(2025, 9, 2), "user_id": "u3", "items": [alike]},
        ],
        "interactions": [
            {"as_of": AS_OF, "user_id": user, "product_id": product, "purchases": n} for user, product, n in bought
        ],
        "products": [
            {"product_id": product, "name": name, "category": "all", "arrived_at": datetime(2025, 1, day, tzinfo=UTC)}
            for product, name, day in versions
        ],
    }


def test_the_job_writes_one_page_for_the_run(spark: SparkSession, tmp_path: Path) -> None:
    settings = load_settings([], [f"run.lake={tmp_path}", "run.source=/elsewhere/our shop.yaml"], env={})
    lake = Lake(spark, str(tmp_path))
    lake.write("user_offers", assigned(spark))
    lake.write("quarantine", refused(spark))
    lake.write("offer_scores", frame(spark, "offer_scores", [{"offer_id": "ten", "expected_margin": 1.0}]))
    profile = {"as_of": AS_OF, "name": "frequent, browsing", "users": 12}
    other = {"as_of": date(2025, 9, 2), "name": "of another day", "users": 3}
    lake.write("segment_profiles", frame(spark, "segment_profiles", [profile, other]))
    stages = [(AS_OF, "lapsed"), (AS_OF, "new"), (AS_OF, "new"), (date(2025, 9, 2), "cooling")]
    known = [{"as_of": as_of, "lifecycle_stage": stage} for as_of, stage in stages]
    lake.write("user_features", frame(spark, "user_features", known))
    lake.write("models", frame(spark, "models", [{"name": "als", "status": "live", "version": "r1-1"}]))
    of_run = {"run_id": "r1", "table_name": "clicks", "kind": "range", "severity": "warn", "rows": 9}
    looks = [
        {**of_run, "attempt": 1, "columns": ["price"], "failed_rows": 9, "passed": False},
        {**of_run, "attempt": 2, "columns": ["depth"], "failed_rows": 0, "passed": True},
        {**of_run, "attempt": 2, "columns": ["query"], "failed_rows": 4, "passed": False, "low": 1.0},
        {**of_run, "attempt": 3, "run_id": "other", "columns": ["device"], "failed_rows": 7, "passed": False},
    ]
    lake.write("expectations", frame(spark, "expectations", looks))
    lake.create("source_columns")
    for name, rows in recommended().items():
        lake.write(name, frame(spark, name, rows))
    lake.write(
        "metrics",
        frame(
            spark,
            "metrics",
            [
                {"run_id": "r1", "name": "offers.value_dr", "slice": "all", "value": 5.0, "low": 1.0, "high": 9.0},
                {"run_id": "other", "name": "offers.value_dr", "slice": "all", "value": 777.0, "low": 1.0, "high": 9.0},
            ],
        ),
    )

    execute(load_jobs()["report"], spark=spark, settings=settings, as_of=AS_OF, run_id="r1")

    page = (tmp_path / "reports" / "2025-09-03-r1.html").read_text(encoding="utf-8")
    assert "The estimate is 5.00, the 95 % interval 1.00 to 9.00." in page
    assert "777" not in page
    assert "2 expectations were checked, 1 are not met." in page
    assert "query is not what it should be in 4 of 9 records." in page
    assert "price is not" not in page
    assert "Data: our shop." in page
    assert "10 % off" in page
    assert "Frequent, browsing" in page
    assert "2 customers have a list; 3 of 4 products are on one at least" in page
    assert "<ol><li>Tea, new</li><li>cake</li></ol>" in page
    assert "<ol><li>Tea, new (bought before)</li><li>gin (customers alike bought it)</li></ol>" in page
    assert "f another day" not in page
    stages_told = re.findall(r"(New|Lapsed|Cooling)[^<]*</th><td class=\"n\">(\d+)", page)
    assert stages_told == [("New", "2"), ("Lapsed", "1")]
