"""Customer lifetime value: purchases by BG/NBD times their value by gamma-gamma, discounted."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from offerlake.config import ClvSettings
from offerlake.value.bgnbd import PARAMETERS as PURCHASE_PARAMETERS
from offerlake.value.bgnbd import BgNbd, expected_purchases, p_alive
from offerlake.value.bgnbd import fit as fit_purchases
from offerlake.value.gammagamma import PARAMETERS as VALUE_PARAMETERS
from offerlake.value.gammagamma import GammaGamma, expected_value
from offerlake.value.gammagamma import fit as fit_value
from offerlake.value.histories import WEEK, histories, spendings
from offerlake.value.likelihood import Numbers

MODEL_FILE = "clv.json"
SCORES = (
    "p_alive", "expected_purchases", "purchase_value", "expected_value", "clv", "next_purchases", "next_value",
)  # fmt: skip
_PERIOD = 4.0  # weeks in which money is discounted alike
_YEAR = 52.0  # weeks


@dataclass(frozen=True)
class ClvModel:
    """What is known of all customers together.

    Attributes:
        purchases: When they buy, times in weeks.
        value: What a purchase is worth; None where nobody has bought twice for money.
        grain_days: Days by which purchase histories were told apart.
        correlation: Of the number of repeat purchases and their mean value, which `value` takes to be 0; None: not
            defined.
    """

    purchases: BgNbd
    value: GammaGamma | None
    grain_days: int
    correlation: float | None

    @property
    def parameters(self) -> dict[str, tuple[float, bool]]:
        """Name to value, and whether the customers tell it."""
        models: dict[str, BgNbd | GammaGamma] = dict.fromkeys(PURCHASE_PARAMETERS, self.purchases)
        if self.value is not None:
            models |= dict.fromkeys(VALUE_PARAMETERS, self.value)
        return {name: (float(getattr(model, name)), name not in model.unidentified) for name, model in models.items()}

    def as_dict(self) -> dict[str, Any]:
        """Content of `MODEL_FILE`; errors without end are null."""

        def part(model: BgNbd | GammaGamma) -> dict[str, Any]:
            errors = [error if math.isfinite(error) else None for error in model.errors]
            return {**asdict(model), "errors": errors, "unidentified": model.unidentified}

        return {
            "purchases": part(self.purchases),
            "value": None if self.value is None else part(self.value),
            "grain_days": self.grain_days,
            "correlation": self.correlation,
        }


def fit(customers: DataFrame, *, most: int) -> ClvModel | None:
    """Fits both models to customers as `histories.summary` gives them; None where there are none.

    Args:
        customers: Their summary, read several times.
        most: Rows that may come to the driver, `clv.max_groups`.
    """
    seen, grain = histories(customers, most=most)
    if not len(seen.customers):
        return None
    spent = spendings(customers, most=most)
    paying = len(spent.customers) > 0
    return ClvModel(
        purchases=fit_purchases(seen),
        value=fit_value(spent) if paying else None,
        grain_days=grain,
        correlation=spent.correlation if paying else None,
    )


def scores(
    model: ClvModel,
    frequency: Numbers,
    recency_days: Numbers,
    age_days: Numbers,
    monetary: Numbers,
    *,
    settings: ClvSettings,
) -> dict[str, Numbers]:
    """SCORES of customers, each (rows,); money is NaN where the model has no values.

    clv = purchase_value · Σ_k (E(t_k) − E(t_{k − 1})) / (1 + discount_rate)^(t_k / 52), with E(t) the purchases
    expected in the next t weeks and t_k every four weeks, and the end of the horizon.

    Args:
        model: The model.
        frequency: x (rows,).
        recency_days: t_x (rows,).
        age_days: T (rows,).
        monetary: Mean value of the x purchases; whatever it is where x is 0 (rows,).
        settings: Horizon, discount rate, days of the holdout.
    """
    # Customers share histories: those who never came back, by far the most, differ in their age only.
    distinct, place = np.unique(np.column_stack([frequency, recency_days, age_days]), axis=0, return_inverse=True)
    x, recency, age = distinct[:, 0], distinct[:, 1] / WEEK, distinct[:, 2] / WEEK
    place = place.reshape(-1)

    def ahead(weeks: float) -> Numbers:
        return expected_purchases(model.purchases, x, recency, age, horizon=weeks)

    ends = [*np.arange(_PERIOD, settings.horizon_weeks, _PERIOD), float(settings.horizon_weeks)]
    before = discounted = np.zeros(len(x))
    for end in ends:
        until = ahead(float(end))
        discounted = discounted + (until - before) / (1 + settings.discount_rate) ** (end / _YEAR)
        before = until
    alive, soon = p_alive(model.purchases, x, recency, age), ahead(settings.holdout_days / WEEK)
    value = np.full(len(frequency), np.nan)
    if model.value is not None:
        value = expected_value(model.value, frequency, monetary)
    return {
        "p_alive": alive[place],
        "expected_purchases": before[place],
        "purchase_value": value,
        "expected_value": before[place] * value,
        "clv": discounted[place] * value,
        "next_purchases": soon[place],
        "next_value": soon[place] * value,
    }


def score(customers: DataFrame, model: ClvModel, *, settings: ClvSettings) -> DataFrame:
    """Adds SCORES to customers as `histories.summary` gives them; other columns are kept as they are.

    Rounded to 9 digits after the point: the batches, and with them the last bits, depend on the partitioning.
    """
    kind = ", ".join(f"{name}: double" for name in SCORES)

    @F.arrow_udf(f"struct<{kind}>")  # type: ignore[attr-defined,untyped-decorator]
    def valued(batches: Iterator[pa.Array]) -> Iterator[pa.Array]:
        for batch in batches:
            columns = [np.asarray(column.cast("float64")) for column in batch.flatten()]
            found = scores(model, *columns, settings=settings)
            arrays = [pa.array(np.round(found[name], 9), from_pandas=True) for name in SCORES]
            yield pa.StructArray.from_arrays(arrays, names=list(SCORES))

    value = F.coalesce(F.col("monetary"), F.lit(0.0))
    row = F.struct("frequency", "recency_days", "age_days", value.alias("monetary"))
    return customers.withColumn("_scores", valued(row)).select(
        *customers.columns, *[F.col(f"_scores.{name}").alias(name) for name in SCORES]
    )
