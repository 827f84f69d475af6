"""Numbers of ids: appended, never renumbered."""

from __future__ import annotations

import pytest
from pyspark.sql import SparkSession

from offerlake.errors import DataError
from offerlake.features.index import new_numbers


def test_new_ids_get_the_next_numbers_and_old_ones_keep_theirs(spark: SparkSession) -> None:
    none = spark.createDataFrame([], "user_id string, idx int")
    first = new_numbers(spark.createDataFrame([("b",), ("a",), ("b",), (None,)], "user_id string"), none, key="user_id")
    numbers = {row.user_id: row.idx for row in first.collect()}
    assert set(numbers) == {"a", "b"}
    assert set(numbers.values()) == {0, 1}

    ids = spark.createDataFrame([(f"u{k}",) for k in range(500)] + [("a",)], "user_id string")
    index = spark.createDataFrame(list(numbers.items()), "user_id string, idx int")
    later = {row.user_id: row.idx for row in new_numbers(ids, index, key="user_id").collect()}
    assert "a" not in later
    assert sorted(later.values()) == list(range(2, 502))

    again = {row.user_id: row.idx for row in new_numbers(ids.repartition(7), index, key="user_id").collect()}
    assert again == later


def test_more_ids_than_numbers_is_told_before_anything_is_written(spark: SparkSession) -> None:
    ids = spark.createDataFrame([("c",), ("d",)], "user_id string")
    index = spark.createDataFrame([("a", 8)], "user_id string, idx int")
    assert new_numbers(ids, index, key="user_id", largest=10).count() == 2
    with pytest.raises(DataError, match="user_id: 9 ids have a number and 2 more want one"):
        new_numbers(ids, index, key="user_id", largest=9)
