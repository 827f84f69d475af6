"""What a network sees of a row."""

from __future__ import annotations

import math

import numpy as np
import pyarrow as pa
import pytest
from pyspark.sql import SparkSession
from pyspark.sql import functions as F

from offerlake.deep.encode import CATEGORICAL, CLIP, FLAGGED, NUMERIC, Encoding, encode, learn
from offerlake.errors import DataError
from offerlake.schemas import table

VIEWS, RECENCY, REGION = NUMERIC.index("views_28d"), NUMERIC.index("order_recency_days"), CATEGORICAL.index("region")


def row_of(**values: object) -> dict[str, object]:
    return dict.fromkeys(NUMERIC, 0.0) | dict.fromkeys(CATEGORICAL) | values


def encoding_of(**changes: tuple[float, float]) -> Encoding:
    means, scales = dict.fromkeys(NUMERIC, 0.0), dict.fromkeys(NUMERIC, 1.0)
    for name, (mean, scale) in changes.items():
        means[name], scales[name] = mean, scale
    vocabularies = tuple(("north", "south") if name == "region" else () for name in CATEGORICAL)
    return Encoding(tuple(means.values()), tuple(scales.values()), vocabularies)


def test_columns_are_those_of_the_contract_that_a_network_can_use() -> None:
    types = {column.name: column.type for column in table("examples").columns}
    assert {types[name] for name in NUMERIC} == {"int", "double"}
    assert {types[name] for name in CATEGORICAL} == {"string"}
    assert {"depth", "order_recency_days"} <= set(FLAGGED) <= set(NUMERIC)
    assert "kind" in CATEGORICAL
    assert not {"responded", "redeemed", "margin", "net_value", "propensity"} & {*NUMERIC, *CATEGORICAL}


def test_numbers_are_squeezed_standardised_and_clipped() -> None:
    rows = [row_of(views_28d=float(x)) for x in (0, 3, 10**9)]
    numbers, _ = encode(encoding_of(views_28d=(1.0, 2.0)), pa.Table.from_pylist(rows))
    assert numbers[:, VIEWS].tolist() == pytest.approx([-0.5, (math.log(4) - 1) / 2, CLIP])


def test_a_missing_number_is_average_and_flagged() -> None:
    rows = [row_of(order_recency_days=x) for x in (None, float("nan"), 5.0)]
    numbers, _ = encode(encoding_of(order_recency_days=(1.0, 2.0)), pa.Table.from_pylist(rows))
    flags = numbers[:, len(NUMERIC) + FLAGGED.index("order_recency_days")]
    assert numbers[:2, RECENCY].tolist() == [0, 0]
    assert numbers[2, RECENCY] == pytest.approx((math.log(6) - 1) / 2)
    assert flags.tolist() == [1, 1, 0]


def test_categories_have_codes_for_unknown_and_missing() -> None:
    rows = [row_of(region=x) for x in ("south", None, "east", "north")]
    _, codes = encode(encoding_of(), pa.Table.from_pylist(rows))
    assert codes[:, REGION].tolist() == [3, 1, 0, 2]
    assert encoding_of().cards[REGION] == 4


def test_learns_from_the_rows_given(spark: SparkSession) -> None:
    columns = [
        F.lit(None).cast("double" if name in NUMERIC else "string").alias(name) for name in (*NUMERIC, *CATEGORICAL)
    ]
    frame = (
        spark.createDataFrame([(0, "b"), (3, "a"), (3, "c"), (None, "c")], "x int, y string")
        .select("x", "y", *columns)
        .withColumns({"views_28d": F.col("x"), "region": F.col("y")})
    )
    learnt = learn(frame, vocabulary=2)
    assert learnt.means[VIEWS] == pytest.approx(2 * math.log(4) / 3)
    assert learnt.scales[VIEWS] == pytest.approx(np.std([0, math.log(4), math.log(4)]))
    assert (learnt.means[RECENCY], learnt.scales[RECENCY]) == (0.0, 1.0)
    assert learnt.vocabularies[REGION] == ("c", "a")
    with pytest.raises(DataError, match="no training rows"):
        learn(frame.limit(0), vocabulary=2)
