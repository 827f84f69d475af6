"""Users' factors for products' factors that stay: those of Spark ML's own last half sweep."""

from __future__ import annotations

from itertools import accumulate

import numpy as np
import pyarrow as pa
import pytest
from pyspark.sql import DataFrame, SparkSession

from offerlake.config import RecommendSettings, Settings
from offerlake.recommend.als import fit, ratings, user_factors
from offerlake.recommend.foldin import _whole_users, fold_in
from recommend import made


@pytest.fixture(scope="module")
def small(settings: Settings) -> RecommendSettings:
    return settings.recommend.model_copy(update={"rank": 4, "blocks": 2, "alpha": 2.5, "regularisation": 0.1})


def by_user(frame: DataFrame) -> dict[str, list[float]]:
    return {row["user_id"]: row["features"] for row in frame.collect()}


def test_on_the_events_of_the_fit_it_gives_the_factors_of_the_fit(
    spark: SparkSession, small: RecommendSettings
) -> None:
    rows = [(user, product, 1.0 + i % 5, 1) for i, (user, product, *_) in enumerate(made.tastes())]
    frame = made.interactions(spark, rows)
    users, products = made.index(spark, frame, "user_id"), made.index(spark, frame, "product_id")
    model = fit(ratings(frame, users, products), settings=small, seed=7)

    of_fit = by_user(user_factors(model, users))
    found = by_user(fold_in(frame.repartition(5), model.itemFactors, products, settings=small))

    assert sorted(found) == sorted(of_fit)
    assert len(found) == 2 * made.EACH
    for user, factors in of_fit.items():
        np.testing.assert_allclose(found[user], factors, rtol=1e-4, atol=1e-5)


def test_new_users_and_new_events_count_and_what_has_no_factors_does_not(
    spark: SparkSession, small: RecommendSettings
) -> None:
    frame = made.interactions(spark, made.tastes())
    more = made.interactions(
        spark,
        [
            ("new", "tea1", 6.0, 1),
            ("new", "tea2", 6.0, 1),
            ("new", "unseen", 6.0, 1),
            ("bad", "tea1", float("nan"), 1),
            ("bad", "tea2", float("inf"), 1),
            ("other", "unseen", 6.0, 1),
        ],
    )
    users, products = made.index(spark, frame, "user_id"), made.index(spark, frame.union(more), "product_id")
    model = fit(ratings(frame, users, products.where("product_id != 'unseen'")), settings=small, seed=7)
    liked = {row["id"]: np.array(row["features"]) for row in model.itemFactors.collect()}
    number = {row["product_id"]: row["idx"] for row in products.collect()}

    found = by_user(fold_in(frame.union(more), model.itemFactors, products, settings=small))

    assert set(found) - set(by_user(user_factors(model, users))) == {"new"}
    tea, tool = (np.mean([liked[number[f"{kind}{i}"]] @ found["new"] for i in range(6)]) for kind in ("tea", "tool"))
    assert tea > tool + 0.2


def test_users_stay_whole_whatever_the_batches() -> None:
    ids = ["a", "a", "b", "c", "c", "c", "d"]
    one = pa.record_batch({"user_id": ids})

    for sizes in ([7], [1] * 7, [2, 2, 3], [3, 0, 4], [4, 1, 2]):
        starts = [0, *accumulate(sizes)]
        batches = [one.slice(start, size) for start, size in zip(starts, sizes, strict=False)]
        parts = [table["user_id"].to_pylist() for table in _whole_users(batches)]
        assert [user for part in parts for user in part] == ids
        assert all(set(left).isdisjoint(right) for at, left in enumerate(parts) for right in parts[at + 1 :])
    assert list(_whole_users([])) == []
