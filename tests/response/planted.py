"""A small shop whose truth is known: examples with planted response, effects, margins and costs."""

from __future__ import annotations

import itertools
import tempfile
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql.pandas.types import to_arrow_schema
from pyspark.sql.types import StructField, StructType

from offerlake.schemas.gold import EXAMPLES

Numbers = npt.NDArray[np.float64]
START = date(2025, 3, 3)
ARMS = {
    # offer: kind, discount rate, fixed cost
    "five": ("percent_off", 0.05, 0.0),
    "twenty": ("percent_off", 0.20, 0.0),
    "gift": ("gift", 0.0, 3.0),
    "push": ("content", 0.0, 0.0),
}
OFFERS = tuple(ARMS)
CONTACT_COST = 0.01
_FOLDER, _NUMBERS = tempfile.TemporaryDirectory(), itertools.count()
USED = 0.9


@dataclass(frozen=True)
class Shop:
    """Rows as in `examples` and what is true: by user the base rate and margin, by user and offer the effect."""

    rows: pd.DataFrame
    base: Numbers
    effects: Numbers
    margin: Numbers
    basket: Numbers


def shop(*, users: int, rounds: int, seed: int = 1, strength: float = 1.0, choosy: bool = False) -> Shop:
    """Order rate about 5 %; effect = strength × (contact + lift by price sensitivity × (1 − exp(−rate / 0.12))).

    An offer is used by a share of its buyers; `choosy`: by those whose basket is larger than usual for them.
    """
    draw = np.random.default_rng(seed)
    base_trait, sense, like, size = draw.normal(size=(4, users))
    base = 1 / (1 + np.exp(-(-3.1 + 0.7 * base_trait)))
    basket = 60 * np.exp(0.4 * size)
    margin = 0.35 * basket
    lift = 0.06 * np.log1p(np.exp(1.5 * sense)) / np.log(2)
    dose = np.array([1 - np.exp(-rate / 0.12) for _, rate, _ in ARMS.values()])
    dose[2] = 0.35
    effects = lift[:, None] * dose[None]
    effects[:, 2] = 0.05 * np.log1p(np.exp(1.5 * like)) * 0.35
    effects = strength * (effects - 0.008)
    effects = np.clip(base[:, None] + effects, 0.001, 0.95) - base[:, None]

    user = np.repeat(np.arange(users), rounds)
    round_ = np.tile(np.arange(rounds), users)
    n = len(user)
    arm = draw.choice(5, size=n, p=[0.25, *[0.1875] * 4]) - 1
    treated = arm >= 0
    chance = base[user] + np.where(treated, effects[user, np.maximum(arm, 0)], 0)
    responded = draw.random(n) < chance
    kinds = np.array([kind for kind, _, _ in ARMS.values()] + ["none"])
    rates = np.array([rate for _, rate, _ in ARMS.values()] + [0.0])
    fixed = np.array([cost for _, _, cost in ARMS.values()] + [0.0])
    spent = basket[user] * np.exp(0.3 * draw.normal(size=n) - 0.045)
    wants = spent > basket[user] if choosy else draw.random(n) < USED
    redeemed = responded & treated & (arm != 3) & wants
    net = np.where(responded, spent * (1 - redeemed * rates[arm]), 0)
    cost = np.where(responded, spent * 0.65, 0)
    rows = pd.DataFrame(
        {
            "exposure_id": [f"e{i:07d}" for i in range(n)],
            "user_id": [f"u{i:06d}" for i in user],
            "offer_id": np.where(treated, np.array([*OFFERS, ""])[arm], None),
            "treatment": treated.astype("int32"),
            "propensity": np.where(treated, 0.1875, 0.25),
            "policy": "experiment",
            "shown_date": [START + timedelta(days=14 * int(r)) for r in round_],
            "kind": kinds[arm],
            "depth": np.where(treated & (rates[arm] > 0), rates[arm], np.nan),
            "discount_rate": rates[arm],
            "fixed_cost": fixed[arm],
            "channel": np.where(treated, "email", None),
            "kind_affinity": np.where(arm == 2, np.exp(like[user] / 4), 0.0),
            "scope_affinity": treated.astype(float),
            "orders_364d": draw.poisson(12 * base[user]).astype("int32") + 1,
            "sessions_364d": 20,
            "sessions_84d": draw.poisson(np.exp(2 + 0.8 * base_trait[user])).astype("int32"),
            "discount_share_364d": 1 / (1 + np.exp(-(sense[user] + 0.4 * draw.normal(size=n)))),
            "click_rate_gift": np.exp(like[user] / 4),
            "typical_order_value": basket[user] * np.exp(0.1 * draw.normal(size=n)),
            "visit_recency_days": np.where(draw.random(n) < 0.2, np.nan, draw.exponential(20, size=n)),
            "region": draw.choice(["north", "south", "east"], size=n),
            "responded": responded.astype("int32"),
            "redeemed": redeemed.astype("int32"),
            "use_value": np.where(redeemed, spent * rates[arm], np.nan),
            "net_value": net,
            "margin": net - cost - redeemed * fixed[arm] - treated * CONTACT_COST,
        }
    )
    shown = [datetime(d.year, d.month, d.day, 9, tzinfo=UTC) for d in rows["shown_date"]]
    rows["shown_at"] = shown
    rows["label_end"] = [moment + timedelta(days=13) for moment in shown]
    for column in EXAMPLES.columns:
        if column.name not in rows:
            blank = "" if column.type == "string" else 0
            rows[column.name] = None if column.null else blank
    return Shop(rows=rows, base=base, effects=effects, margin=margin, basket=basket)


def frame(spark: SparkSession, rows: pd.DataFrame) -> DataFrame:
    """Rows as the table `examples`; where its contract allows no null, they may have some.

    From a file: what Spark gets from memory it interprets, row by row, while it plans.
    """
    loose = StructType([StructField(field.name, field.dataType) for field in EXAMPLES.struct])
    told = pa.Table.from_pandas(
        rows[EXAMPLES.names], schema=to_arrow_schema(loose, timezone="UTC"), preserve_index=False
    )
    path = f"{_FOLDER.name}/{next(_NUMBERS)}.parquet"
    pq.write_table(told, path, row_group_size=len(rows) // 2 + 1)
    return EXAMPLES.select(spark.read.schema(loose).parquet(f"file://{path}"))
