"""The fold outside Spark is Spark's."""

from __future__ import annotations

import pyarrow as pa
from pyspark.sql import SparkSession
from pyspark.sql import functions as F

from offerlake import randomness
from offerlake.deep import keys


def test_folds_are_spark_s_for_keys_of_every_length(spark: SparkSession) -> None:
    ids = [("ab7é" * 20)[:length] for length in range(75)] + ["u00017", "u00018", "ß", "日本"]
    frame = spark.createDataFrame([(key,) for key in ids], "id string")
    fold = randomness.fold(7, "fold", 1000, F.col("id"))
    expected = [row[0] for row in frame.select(fold).collect()]
    sliced = pa.chunked_array([pa.array(["other", *ids[:40]])[1:], pa.array(ids[40:])])
    assert keys.fold(7, "fold", 1000, sliced).tolist() == expected
    assert len(set(expected)) > 60


def test_the_seed_and_the_purpose_change_the_fold() -> None:
    ids = pa.array([f"u{number}" for number in range(200)])
    one = keys.fold(7, "fold", 2, ids)
    assert 60 < int(one.sum()) < 140
    assert (one != keys.fold(8, "fold", 2, ids)).any()
    assert (one != keys.fold(7, "split", 2, ids)).any()
