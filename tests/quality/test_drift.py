"""The stability index against values worked out by hand, and what chance gives."""

from __future__ import annotations

import math

import pytest
from pyspark.sql import SparkSession
from pyspark.sql import functions as F

from offerlake.quality.drift import counted, stability_index


def test_of_words_by_hand() -> None:
    """Three groups; q = (60.5, 30.5, 10.5) / 101.5, p = (20.5, 20.5, 60.5) / 101.5."""
    q, p = (60.5, 30.5, 10.5), (20.5, 20.5, 60.5)
    by_hand = sum((new - old) / 101.5 * math.log(new / old) for new, old in zip(p, q, strict=True))
    index, chance = stability_index({"b": 30, "c": 10, "a": 60}, {"c": 60, "a": 20, "b": 20})
    assert index == pytest.approx(by_hand)
    assert index == pytest.approx(1.3283, abs=1e-4)
    assert chance == pytest.approx((1 / 100 + 1 / 100) * 13.816, rel=0.03)  # chi-square of 2 degrees: table


def test_of_numbers_by_deciles_of_the_reference() -> None:
    """1 to 10, ten times each: ten groups of 10. In the newest all of 1 to 5, twice as many each: five groups empty."""
    reference = {float(value): 10 for value in range(1, 11)}
    full, empty, old = 20.5 / 105, 0.5 / 105, 10.5 / 105
    by_hand = 5 * (full - old) * math.log(full / old) + 5 * (empty - old) * math.log(empty / old)
    index, chance = stability_index(reference, {float(value): 20 for value in range(1, 6)})
    assert index == pytest.approx(by_hand)
    assert chance == pytest.approx(0.02 * 27.877, rel=0.01)  # chi-square of 9 degrees: table
    assert stability_index(reference, reference)[0] == 0
    # The same in other units is another distribution: all above the highest decile.
    tenfold = stability_index(reference, {100 * value: count for value, count in reference.items()})[0]
    assert tenfold is not None
    assert tenfold > 4


def test_equal_values_make_fewer_groups_and_one_group_never_moves() -> None:
    index, chance = stability_index({1.0: 95, 2.0: 5}, {1.0: 50, 2.0: 50})
    assert index == pytest.approx(
        (50.5 - 95.5) / 101 * math.log(50.5 / 95.5) + (50.5 - 5.5) / 101 * math.log(50.5 / 5.5)
    )
    assert chance < 0.24
    assert stability_index({1.0: 9}, {1.0: 3}) == (0, 0)


def test_words_that_are_rare_or_new_share_a_group() -> None:
    many = {f"w{number:02}": 100 - number for number in range(30)}
    index, _ = stability_index(many, {**many, "unheard of": 1})
    assert index is not None
    assert 0 < index < 1e-5
    assert stability_index(many, {"unheard of": 1000})[0] > 1  # type: ignore[operator]


@pytest.mark.parametrize(("reference", "newest"), [({}, {1.0: 3}), ({"a": 3}, {}), ({}, {})])
def test_nothing_to_compare(reference: dict[float | str, int], newest: dict[float | str, int]) -> None:
    assert stability_index(reference, newest) == (None, math.inf)


def test_values_are_counted_in_two_digits_without_nulls(spark: SparkSession) -> None:
    rows = [(value, True) for value in (0.0, 12.34, 12.41, 9.99, 104.0, -104.9, None)] + [(12.0, False)]
    frame = spark.createDataFrame(rows, "x double, here boolean")
    found = frame.agg(counted(F.col("x"), F.col("here"), number=True).alias("n")).collect()[0]["n"]
    assert {(pair["item"] and round(pair["item"], 9)): pair["count"] for pair in found} == {
        None: 2, 0.0: 1, 12.0: 2, 10.0: 1, 100.0: 1, -100.0: 1,
    }  # fmt: skip
    words = frame.agg(counted(F.col("here").cast("string"), F.lit(True), number=False).alias("n")).collect()[0]["n"]
    assert {pair["item"]: pair["count"] for pair in words} == {"true": 7, "false": 1}
