"""How the files of a snapshot are dealt to the ranks."""

from __future__ import annotations

from datetime import UTC, date, datetime
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from delta.tables import DeltaTable
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from deep.planted import DAYS, TURN, USERS
from offerlake.deep.data import Piece, Span, filesystem, orders, read, shares
from offerlake.deep.encode import learn
from offerlake.errors import DataError
from offerlake.windows import midnight, part_of, split_by_time


def rows_by_day(pieces: list[Piece]) -> dict[str, int]:
    found: dict[str, int] = {}
    for piece in pieces:
        day = piece.uri.split("shown_date=")[1][:10]
        found[day] = found.get(day, 0) + piece.end - piece.begin
    return found


@pytest.mark.parametrize("shards", [1, 2, 7])
def test_every_shard_gets_its_share_of_every_day(examples: DataFrame, shards: int) -> None:
    dealt = shares(examples, shards=shards)
    covered = sorted((piece.uri, piece.group, piece.begin, piece.end) for share in dealt for piece in share)
    assert sum(end - begin for _, _, begin, end in covered) == DAYS * USERS
    assert all(one[:2] != two[:2] or one[3] <= two[2] for one, two in pairwise(covered))
    counts = [rows_by_day(share) for share in dealt]
    assert all(len(found) == DAYS for found in counts)
    assert {rows for found in counts for rows in found.values()} <= {USERS // shards, -(-USERS // shards)}


def test_a_rank_reads_the_rows_that_spark_would_choose(examples: DataFrame) -> None:
    split = split_by_time([date(2025, 3, 3), date(2025, 4, 14)], validation_share=0.5, test_from=None)
    assert midnight(split.validation_from) == TURN
    training, validation = read(
        [piece for share in shares(examples, shards=2) for piece in share],
        spans=[Span(None, TURN), Span(TURN, None)],
        encoding=learn(examples, vocabulary=5),
        label="responded",
        fold_seed=7,
        folds=2,
    )
    part = part_of(split, shown=F.col("shown_date"), label_end=F.col("label_end")).alias("part")
    expected = {
        row["part"]: row
        for row in examples.groupBy(part).agg(F.count("*").alias("n"), F.sum("responded").alias("y")).collect()
    }
    for name, rows in (("train", training), ("validation", validation)):
        assert len(rows) == expected[name]["n"]
        assert int(rows.labels.sum()) == expected[name]["y"]
        assert set(rows.folds) == {0, 1}


def test_a_label_window_that_reaches_into_the_next_slice_is_left_out(examples: DataFrame) -> None:
    begun = datetime(2025, 4, 13, tzinfo=UTC)  # the third round's windows end a day later
    (rows,) = read(
        shares(examples, shards=1)[0],
        spans=[Span(None, begun)],
        encoding=learn(examples, vocabulary=5),
        label="responded",
        fold_seed=7,
        folds=2,
    )
    assert len(rows) == 2 * USERS


def test_deleted_rows_are_not_read_in_silence(examples: DataFrame, spark: SparkSession, tmp_path: Path) -> None:
    root = f"{tmp_path}/examples"
    some = examples.orderBy("shown_date", "user_id").limit(50)
    some.write.format("delta").option("delta.enableDeletionVectors", "true").save(root)
    DeltaTable.forPath(spark, root).delete("user_id = 'u00000'")
    with pytest.raises(DataError, match="its files hold 50 rows, the table 49"):
        shares(spark.read.format("delta").load(root), shards=2)


def test_an_epoch_has_its_own_order_and_no_row_twice() -> None:
    def epoch(number: int) -> list[list[int]]:
        steps = orders({0: 10, 1: 11}, batch=3, steps=3, seed=(7, 0, number))
        return [[*chosen[0], *(100 + chosen[1])] for chosen in steps]

    first = epoch(0)
    assert [len(step) for step in first] == [6, 6, 6]
    assert len(np.unique(np.concatenate(first))) == 18
    assert first == epoch(0)
    assert first != epoch(1)


def test_uris_are_read_as_spark_writes_them() -> None:
    for uri in ("file:/tmp/a b/c%20d", "file:///tmp/a b/c%20d"):
        assert filesystem(uri)[1] == "/tmp/a b/c%20d"
    system, path = filesystem("abfss://box@account.dfs.core.windows.net/lake/x y.parquet")
    assert (system.type_name, path) == ("abfs", "box/lake/x y.parquet")
