"""The doubly robust value, by hand and against a known truth."""

from __future__ import annotations

from datetime import date
from typing import Any

import numpy as np
import pandas as pd
import pytest
from pyspark.sql import DataFrame, SparkSession

from offerlake.evaluate.offpolicy import policy_value, row_values

SCHEMA = (
    "exposure_id string, user_id string, shown_date date, given string, propensity double, margin double,"
    " nothing_margin double, offer_id string, value double, cost double, allowed boolean"
)
DAY = date(2025, 3, 3)


def scored(spark: SparkSession, rows: list[tuple[Any, ...]], *, offers: dict[str, tuple[float, float]]) -> DataFrame:
    """Examples (id, user, given, propensity, margin), each with every offer's value and cost; m(x, 0) = 1."""
    return spark.createDataFrame(
        [
            (example, user, DAY, given, propensity, margin, 1.0, offer, value, cost, offer != "forbidden")
            for example, user, given, propensity, margin in rows
            for offer, (value, cost) in offers.items()
        ],
        SCHEMA,
    )


def test_values_by_hand(spark: SparkSession) -> None:
    # At price 0.5 `a` has the largest surplus, 2 − 0.5; `b` has the larger value; `forbidden` may not be.
    offers = {"a": (2.0, 1.0), "b": (2.2, 3.0), "forbidden": (9.0, 0.0)}
    rows = [
        ("e1", "u1", "a", 0.25, 5.0),
        ("e2", "u1", None, 0.5, 0.0),
        ("e3", "u2", "b", 0.25, 7.0),
        ("e4", "u2", "a", None, 9.0),  # not randomised
        ("e5", "u2", "a", 1.0, 9.0),
    ]
    frame = scored(spark, rows, offers=offers)
    randomised = frame.where("exposure_id in ('e1', 'e2', 'e3')")
    found = row_values(randomised, price=0.5).collect()
    assert sorted((row["psi"], row["ips"], row["predicted"]) for row in found) == [
        (2.0, 0.0, 2.0),
        (2.0 - (0.0 - 1.0) / 0.5, -0.0 / 0.5, 2.0),
        (2.0 + (5.0 - 3.0) / 0.25, 5.0 / 0.25, 2.0),
    ]
    value = policy_value(frame, price=0.5)
    assert value is not None
    # Users' sums are 14 (2 rows) and 2 (1 row); mean 16/3 a row.
    deviation = np.sqrt(((14 - 2 * 16 / 3) ** 2 + (2 - 16 / 3) ** 2) * 2) / 3
    assert value.doubly_robust.value == pytest.approx(16 / 3)
    assert value.doubly_robust.high - value.doubly_robust.value == pytest.approx(1.959964 * deviation)
    assert value.doubly_robust.detectable == pytest.approx(2.801585 * deviation)
    assert value.weighted.value == pytest.approx(20 / 3)
    assert (value.predicted, value.treated, value.unsupported, value.users, value.rows) == (2.0, 1.0, 0.0, 2, 3)


def test_choices_that_were_never_given_are_counted_apart_and_nothing_needs_a_control(spark: SparkSession) -> None:
    offers = {"a": (2.0, 1.0), "b": (1.0, 1.0)}
    rows = [("e1", "u1", "b", 0.25, 5.0), ("e2", "u2", None, 0.5, 0.0)]
    value = policy_value(scored(spark, rows, offers=offers), price=0.5)
    assert value is not None
    assert (value.doubly_robust.value, value.treated, value.unsupported) == (0.0, 0.0, 1.0)
    none_worth_it = policy_value(scored(spark, rows, offers=offers), price=2.5)
    assert none_worth_it is not None
    assert (none_worth_it.doubly_robust.low, none_worth_it.doubly_robust.high, none_worth_it.unsupported) == (0, 0, 0)
    assert policy_value(scored(spark, rows[:1], offers=offers), price=0.5) is None
    assert policy_value(scored(spark, [], offers=offers), price=0.5) is None


@pytest.mark.parametrize("effect", [0.0, 1.0])
def test_covers_the_truth_where_the_model_is_too_sure_of_itself(spark: SparkSession, effect: float) -> None:
    """120 shops of 80 users × 6 rows: predictions are the truth and noise, so the chosen ones are too high."""
    rng = np.random.default_rng(11)
    shops, users, rounds, arms = 120, 80, 6, 3
    size = (shops, users)
    true = effect * rng.normal(0.3, 0.6, (*size, arms))
    believed = true + rng.normal(0, 0.6, (*size, arms))
    base = rng.gamma(2.0, 0.5, size)
    given = rng.choice(arms + 1, p=[0.4, 0.2, 0.2, 0.2], size=(*size, rounds))
    with_nothing = np.concatenate([np.zeros((*size, 1)), true], axis=2)
    mean = base[..., None] + np.take_along_axis(with_nothing, given, axis=2)
    margin = mean + rng.normal(0, 1.5, given.shape)
    shop, user, turn, arm = (x.ravel() for x in np.indices((shops, users, rounds, arms)))
    frame = pd.DataFrame(
        {
            "exposure_id": [f"{s}-{u}-{t}" for s, u, t in zip(shop, user, turn, strict=True)],
            "user_id": [f"{s}-{u}" for s, u in zip(shop, user, strict=True)],
            "shown_date": DAY,
            "given": [f"o{g}" if g else None for g in given[shop, user, turn]],
            "propensity": np.where(given[shop, user, turn] == 0, 0.4, 0.2),
            "margin": margin[shop, user, turn],
            "nothing_margin": 1.0,  # wrong for most users
            "offer_id": [f"o{a + 1}" for a in arm],
            "value": believed[shop, user, arm],
            "cost": 1.0,
            "allowed": True,
        }
    )
    price = 0.2
    values = row_values(spark.createDataFrame(frame, SCHEMA), price=price).toPandas()
    values["shop"] = values["user_id"].str.split("-").str[0].astype(int)
    best = believed.argmax(axis=2)
    treats = believed.max(axis=2) > price
    truth = np.where(treats, np.take_along_axis(true, best[..., None], axis=2)[..., 0], 0.0).mean(axis=1)
    by_user = values.groupby(["shop", "user_id"])[["psi", "predicted"]].mean()
    estimate = by_user["psi"].groupby("shop").mean().to_numpy()
    error = by_user["psi"].groupby("shop").std().to_numpy() / np.sqrt(users)
    covered = np.abs(estimate - truth) <= 1.96 * error
    # 95 % of 120, four standard errors either way.
    assert 0.87 <= covered.mean() <= 1.0
    assert abs((estimate - truth).mean()) < 4 * error.mean() / np.sqrt(shops)
    predicted = by_user["predicted"].groupby("shop").mean().to_numpy()
    assert (predicted - truth).mean() > 5 * error.mean() / np.sqrt(shops)
    assert (estimate - 1.96 * error > 0).mean() <= 0.1 if effect == 0 else (estimate - 1.96 * error > 0).mean() > 0.5
