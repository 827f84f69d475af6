"""Examples whose label follows a known rule: half of it a number, half an interaction of two categories."""

from __future__ import annotations

from datetime import UTC, datetime

import numpy as np
import pyarrow as pa
from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F
from pyspark.sql.pandas.types import to_arrow_schema

from offerlake.schemas import table
from offerlake.tables import Lake

FIRST_DAY = datetime(2025, 3, 3, tzinfo=UTC)
DAYS = 4  # rounds, every 14 days
USERS = 1_000  # in the lake of these tests
TURN = datetime(2025, 4, 14, tzinfo=UTC)  # the last round, which validates
REGIONS = ("north", "south", "west")


def planted(*, users: int) -> pa.Table:
    """Examples of `users` × `DAYS`: log-odds = −1.5 + 1.5·z + 2·[age 30-39 and a gift], z = (views_28d − 5) / 3."""
    rng = np.random.default_rng(5)
    contract, rows = table("examples"), []
    empty = {
        column.name: None if column.null else {"string": "", "double": 0.0, "int": 0}.get(column.type, {})
        for column in contract.columns
    }
    for day in range(DAYS):
        shown = FIRST_DAY.timestamp() + day * 14 * 86_400
        for user in range(users):
            views, young, gift = int(rng.poisson(5)), bool(rng.random() < 0.4), bool(rng.random() < 0.5)
            log_odds = -1.5 + 1.5 * (views - 5) / 3 + 2 * (young and gift)
            label = int(rng.random() < 1 / (1 + np.exp(-log_odds)))
            rows.append(
                empty
                | {
                    "exposure_id": f"e{day}-{user}",
                    "user_id": f"u{user:05d}",
                    "treatment": 1,
                    "shown_at": datetime.fromtimestamp(shown, tz=UTC),
                    "shown_date": datetime.fromtimestamp(shown, tz=UTC).date(),
                    "label_end": datetime.fromtimestamp(shown + 14 * 86_400, tz=UTC),
                    "orders_364d": 1,
                    "views_28d": views,
                    "money_28d": float(rng.exponential(40.0)),
                    "order_recency_days": None if rng.random() < 0.3 else float(rng.integers(1, 90)),
                    "age_band": "30-39" if young else "50-59",
                    "region": REGIONS[int(rng.integers(3))],
                    "kind": "gift" if gift else "points",
                    "responded": label,
                }
            )
    columns = {name: [row[name] for row in rows] for name in contract.names}
    return pa.table(columns, schema=to_arrow_schema(contract.struct, timezone="UTC"))


def true_probability() -> Column:
    """What the planted rule gives: no model can rank better."""
    young_and_gift = ((F.col("age_band") == "30-39") & (F.col("kind") == "gift")).cast("int")
    log_odds = -1.5 + 1.5 * (F.col("views_28d") - 5) / 3 + 2 * young_and_gift
    return 1 / (1 + F.exp(-log_odds))


def written(spark: SparkSession, root: str, *, users: int) -> DataFrame:
    """The planted examples as version 1 of a lake's table, read back."""
    lake = Lake(spark, root)
    version = lake.write(
        "examples", spark.createDataFrame(planted(users=users)).repartition(3, F.col("user_id"))
    ).version
    return lake.read("examples", version=version)
