"""Amounts beyond the usual count as the cap that was known in their month; what was paid stays."""

from __future__ import annotations

import math
import random
from datetime import date

import numpy as np
import pytest
from pyspark.sql import DataFrame, SparkSession

from offerlake.features.outliers import winsorised

JANUARY, FEBRUARY, MARCH = date(2025, 1, 20), date(2025, 2, 10), date(2025, 3, 10)
_DRAW = random.Random(5)
USUAL = [(JANUARY, 1, round(_DRAW.lognormvariate(11, 0.5))) for _ in range(400)]
HUGE = 10**9


def frame(spark: SparkSession, rows: list[tuple[date, int, int]]) -> DataFrame:
    named = [(str(number), *row) for number, row in enumerate(rows)]
    return spark.createDataFrame(named, "id string, since date, quantity int, net_amount bigint")


def found(
    spark: SparkSession, rows: list[tuple[date, int, int]], mads: float | None = 4.0
) -> dict[int, tuple[int, bool]]:
    capped = winsorised(frame(spark, rows), mads=mads).collect()
    return {int(row["id"]): (row["net_amount"], row["capped"]) for row in capped}


def test_amounts_beyond_the_cap_count_as_the_cap(spark: SparkSession) -> None:
    logs = np.log([amount for *_, amount in USUAL])
    cap = math.exp(np.median(logs) + 4 * 1.4826 * np.median(np.abs(logs - np.median(logs))))
    odd = [
        (JANUARY, 1, HUGE),
        (FEBRUARY, 1, HUGE),
        (FEBRUARY, -1, -HUGE),
        (FEBRUARY, 1, int(cap * 0.9)),
        (FEBRUARY, 1, 0),
    ]
    rows = found(spark, [*odd, *USUAL])
    assert rows[0] == (HUGE, False), "nothing was usual yet"
    assert rows[1][1]
    assert rows[1][0] == pytest.approx(cap, rel=0.01)
    assert rows[2] == (-rows[1][0], True)
    assert rows[3] == (odd[3][2], False)
    assert rows[4] == (0, False)
    assert sum(capped for _, capped in rows.values()) == 2

    later = found(spark, [*odd, *USUAL, *[(MARCH, 1, HUGE * n) for n in range(1, 900)]])
    assert {number: later[number] for number in rows} == rows, "what comes later moves no cap of a month before"


def test_too_little_to_know_and_no_setting_cap_nothing(spark: SparkSession) -> None:
    odd = (FEBRUARY, 1, HUGE)
    for rows, mads in (([odd, *USUAL[:99]], 4.0), ([odd, *[(JANUARY, 1, 5)] * 200], 4.0), ([odd, *USUAL], None)):
        assert found(spark, rows, mads)[0] == (HUGE, False)
