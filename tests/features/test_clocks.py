"""Which version of a dimension is known on which day."""

from __future__ import annotations

from pyspark.sql import SparkSession

from offerlake.features.clocks import versions, with_version

from .shop import day, moment


def test_the_newest_version_that_had_arrived_counts_and_the_first_always(spark: SparkSession) -> None:
    rows = [
        ("a", moment("2025-02-01 00:00"), "red"),
        ("a", moment("2025-03-01 09:00"), "red"),  # says nothing new
        ("a", moment("2025-03-05 09:00"), "blue"),  # overtaken on the same day
        ("a", moment("2025-03-05 10:00"), "green"),
        ("b", moment("2025-03-04 00:00"), "one"),
        ("b", moment("2025-03-04 23:59"), None),
    ]
    dimension = spark.createDataFrame(rows, schema="id string, arrived_at timestamp, colour string")
    dated = versions(dimension, "id", ["colour"])
    got = {(r.id, r.colour, str(r.known_from), r.known_to and str(r.known_to)) for r in dated.collect()}
    assert got == {
        ("a", "red", "0001-01-01", "2025-03-06"),
        ("a", "green", "2025-03-06", None),
        ("b", "one", "0001-01-01", "2025-03-05"),
        ("b", None, "2025-03-05", None),
    }

    asked = [("a", "2024-01-01"), ("a", "2025-03-05"), ("a", "2025-03-06"), ("b", "2025-03-05"), ("c", "2025-03-05")]
    pairs = spark.createDataFrame([(key, day(text)) for key, text in asked], schema="id string, as_of date")
    found = {(r.id, str(r.as_of)): r.colour for r in with_version(pairs, dated, "id", day="as_of").collect()}
    assert found == {
        ("a", "2024-01-01"): "red",
        ("a", "2025-03-05"): "red",
        ("a", "2025-03-06"): "green",
        ("b", "2025-03-05"): None,
        ("c", "2025-03-05"): None,
    }
