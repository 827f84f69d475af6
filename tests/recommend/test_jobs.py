"""The jobs that train and recommend, on a lake with two tastes."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from offerlake.config import RecommendSettings, Settings, load_settings
from offerlake.errors import MissingTableError
from offerlake.features.interactions import interactions
from offerlake.job import Job, execute
from offerlake.pipeline import load_jobs
from offerlake.recommend.search import search
from offerlake.schemas import table
from offerlake.tables import Lake
from recommend import made

JANUARY, FEBRUARY = datetime(2025, 1, 10, tzinfo=UTC), datetime(2025, 2, 20, tzinfo=UTC)
USERS = ["a0", "a1", "b0", "b1", "cold"]


@pytest.fixture(scope="module")
def jobs() -> dict[str, Job]:
    return load_jobs()


def order_lines(spark: SparkSession, more: list[tuple[str, str, datetime]]) -> DataFrame:
    """In January all but one product of the own taste; in February a0 buys what he had left out."""
    rows = [(user, product, JANUARY) for user, product, _, _ in made.tastes()] + [("a0", "tea0", FEBRUARY), *more]
    return (
        spark.createDataFrame(rows, "user_id string, product_id string, order_time timestamp")
        .withColumn("order_id", F.concat("user_id", "product_id"))
        .selectExpr(
            "*", "order_time AS arrived_at", "to_date(order_time) AS order_date", "'1' AS line_id", "1 AS quantity"
        )
        .selectExpr(
            "*",
            "2 AS unit_price",
            "0 AS discount",
            "2 AS net_amount",
            "NULL AS coupon_amount",
            "NULL AS offer_id",
            "true AS known_product",
        )
    )


def products(rated: DataFrame) -> DataFrame:
    """The products of the interactions, all of one category."""
    known = rated.select("product_id").distinct()
    blank = {name: F.lit(None) for name in ("name", "brand", "price", "unit_cost", "description", "stock")}
    return known.withColumns({"arrived_at": F.lit(JANUARY), "category": F.lit("all"), **blank})


@pytest.fixture(scope="module")
def shop(spark: SparkSession, tmp_path_factory: pytest.TempPathFactory) -> Callable[..., tuple[Settings, Lake]]:
    """A lake with what the two jobs read."""

    def write(
        *sets: str, as_of: date = made.AS_OF, more: list[tuple[str, str, datetime]] | None = None
    ) -> tuple[Settings, Lake]:
        root: Path = tmp_path_factory.mktemp("lake")
        small = ("recommend.rank=4", "recommend.blocks=2", "recommend.n=3", "evaluate.bootstrap=20")
        settings = load_settings([], [f"run.lake={root}", *small, *sets], env={})
        lake = Lake(spark, str(root))
        lines = table("order_lines").select(order_lines(spark, more or []))
        clicks = spark.createDataFrame([], table("clicks").struct)
        rated = interactions(
            as_of,
            clicks=clicks,
            order_lines=lines,
            weights=settings.recommend.weights,
            half_life_days=settings.recommend.half_life_days,
        )
        features = spark.createDataFrame([(user,) for user in USERS], "user_id string").withColumn(
            "as_of", F.lit(as_of)
        )
        blank = {
            column.name: (F.lit(0) if column.type in {"int", "double"} else F.create_map()).cast(column.type)
            if not column.null
            else F.lit(None).cast(column.type)
            for column in table("user_features").columns
            if column.name not in {"as_of", "user_id"}
        }
        for name, frame in {
            "clicks": clicks,
            "order_lines": lines,
            "interactions": rated,
            "user_features": table("user_features").select(features.withColumns(blank)),
            "user_index": made.index(spark, rated, "user_id"),
            "product_index": made.index(spark, rated, "product_id"),
            "products": table("products").select(products(rated)),
            "users": spark.createDataFrame([], table("users").struct),
            "offers": spark.createDataFrame([], table("offers").struct),
            "offer_products": spark.createDataFrame([], table("offer_products").struct),
        }.items():
            lake.write(name, frame)
        return settings, lake

    return write


def run(jobs: dict[str, Job], name: str, settings: Settings, lake: Lake, as_of: date = made.AS_OF) -> None:
    execute(jobs[name], spark=lake.spark, settings=settings, as_of=as_of, run_id="r1")


def test_every_user_has_candidates_and_the_model_is_judged(
    jobs: dict[str, Job], shop: Callable[..., tuple[Settings, Lake]]
) -> None:
    settings, lake = shop("recommend.mode=discover")

    run(jobs, "train_als", settings, lake)
    run(jobs, "recommend", settings, lake)
    first = {row["user_id"]: row["items"] for row in lake.read("candidates").collect()}
    run(jobs, "recommend", settings, lake)
    again = {row["user_id"]: row["items"] for row in lake.read("candidates").collect()}

    assert again == first
    assert sorted(first) == USERS
    assert first["b0"][0]["product_id"] == "tool0"
    assert {item["source"] for item in first["cold"]} == {"popular"}
    metrics = {row["name"]: row for row in lake.read("metrics").collect()}
    # The one purchase of the window is what ALS puts first for that user.
    assert metrics["recommend.users"]["value"] == 1
    assert metrics["recommend.ndcg@10"]["value"] == 1
    assert metrics["recommend.ndcg@10"]["low"] == 1
    assert metrics["recommend.als.recall@10"]["value"] == 1
    assert metrics["recommend.popularity.users"]["value"] == 1
    assert "recommend.own.ndcg@10" not in metrics
    assert metrics["recommend.own_weight"]["value"] == 0


def test_it_is_judged_by_what_users_had_done_before_too(
    jobs: dict[str, Job], shop: Callable[..., tuple[Settings, Lake]]
) -> None:
    more = [("fresh", "tool0", FEBRUARY), ("fresh", "tea0", FEBRUARY), ("a1", "tea1", FEBRUARY)]
    settings, lake = shop("recommend.mode=discover", "recommend.popularity_by=[region]", more=more)
    where = spark_users(lake.spark, {"fresh": "north", "a0": "north", "a1": None})
    lake.write("users", table("users").select(where))

    run(jobs, "train_als", settings, lake)

    metrics = {(row["name"], row["slice"]): row["value"] for row in lake.read("metrics").collect()}
    users = {part: value for (name, part), value in metrics.items() if name == "recommend.users"}
    assert users == {"all": 3, "history=no product": 1, "history=1 to 9 products": 2, "group=north": 2}
    known, fresh = (metrics["recommend.ndcg@10", f"history={name}"] for name in ("1 to 9 products", "no product"))
    assert metrics["recommend.ndcg@10", "all"] == pytest.approx((2 * known + fresh) / 3)
    assert metrics["recommend.popularity_in_groups.ndcg@10", "history=no product"] == fresh, "all there is to go by"
    assert known == 1, "the one product of their taste that they had left out"


def spark_users(spark: SparkSession, regions: dict[str, str | None]) -> DataFrame:
    """Users of some regions, known since January."""
    frame = spark.createDataFrame(list(regions.items()), "user_id string, region string")
    rest = {
        column.name: (F.lit(None) if column.null else F.create_map()).cast(column.type)
        for column in table("users").columns
        if column.name not in {"user_id", "region", "arrived_at"}
    }
    return frame.withColumns({"arrived_at": F.lit(JANUARY), **rest})


def test_a_fit_may_stay_and_new_events_count_all_the_same(
    jobs: dict[str, Job], shop: Callable[..., tuple[Settings, Lake]]
) -> None:
    settings, lake = shop("recommend.mode=discover", "recommend.refit_days=7")
    run(jobs, "train_als", settings, lake)
    later = made.AS_OF + timedelta(days=5)
    new = [("cold", f"tool{i}", 6.0, 1) for i in range(1, 4)]
    rated = made.interactions(lake.spark, [*made.tastes(), *new]).withColumn("as_of", F.lit(later))
    lake.write("interactions", table("interactions").select(rated), where={"as_of": later})
    features = lake.read("user_features").withColumn("as_of", F.lit(later))
    lake.write("user_features", features, where={"as_of": later})

    for name in ("train_als", "recommend"):
        run(jobs, name, settings, lake, as_of=later)

    assert lake.read("models").where("name = 'als'").count() == 1
    (age,) = lake.read("metrics").where("name = 'recommend.fit_age_days'").select("value").collect()
    assert age["value"] == 5
    items = {row["user_id"]: row["items"] for row in lake.read("candidates").where(F.col("as_of") == later).collect()}
    assert sorted(items) == USERS
    assert items["a1"][0]["product_id"] == "tea1"
    assert {item["source"] for item in items["cold"]} == {"als"}, "he has bought since the fit"
    assert items["cold"][0]["product_id"].startswith("tool")

    much_later = made.AS_OF + timedelta(days=8)
    lake.write(
        "interactions",
        table("interactions").select(rated.withColumn("as_of", F.lit(much_later))),
        where={"as_of": much_later},
    )
    run(jobs, "train_als", settings, lake, as_of=much_later)
    assert lake.read("models").where("name = 'als'").count() == 2, "too old"
    run(jobs, "train_als", settings, lake, as_of=much_later)
    assert lake.read("models").where("name = 'als'").count() == 3, "a day's own fit is made again with the day"


def test_an_index_says_what_it_misses(jobs: dict[str, Job], shop: Callable[..., tuple[Settings, Lake]]) -> None:
    settings, lake = shop("recommend.mode=discover")
    run(jobs, "train_als", settings, lake)
    run(jobs, "recommend", settings, lake)
    exact = {row["user_id"]: row["items"] for row in lake.read("candidates").collect()}
    index = settings.recommend.approximate.model_copy(update={"enabled": True, "probes": 9})
    ours = settings.recommend.model_copy(update={"approximate": index})
    run(jobs, "recommend", settings.model_copy(update={"recommend": ours}), lake)

    found = {row["user_id"]: row["items"] for row in lake.read("candidates").collect()}
    assert {user: [item["product_id"] for item in items] for user, items in found.items()} == {
        user: [item["product_id"] for item in items] for user, items in exact.items()
    }
    (recall,) = lake.read("metrics").where("name = 'recommend.approximate.recall'").select("value").collect()
    assert recall["value"] == 1, "all of its three lists are looked at"


def test_too_early_to_judge_is_null_not_a_failure(
    jobs: dict[str, Job], shop: Callable[..., tuple[Settings, Lake]]
) -> None:
    early = date(2025, 1, 20)
    settings, lake = shop(as_of=early)

    run(jobs, "train_als", settings, lake, as_of=early)

    metrics = {row["name"]: row["value"] for row in lake.read("metrics").collect()}
    assert metrics == {"recommend.ndcg@10": None}
    model = lake.read("models").first()
    assert model is not None
    assert (model["name"], model["status"], json.loads(model["settings"])["own_weight"]) == ("als", "live", 1.0)
    assert (json.loads(model["settings"])["seed"], model["metrics"]) == (settings.run.seed, {})


def test_a_search_tries_settings_on_one_window_and_judges_on_the_next(
    jobs: dict[str, Job], shop: Callable[..., tuple[Settings, Lake]]
) -> None:
    small = ("recommend.mode=discover", "recommend.holdout_days=14", "recommend.search.trials=2")
    settings, lake = shop(*small, "recommend.search.rank=[2,4]", more=[("b0", "tool0", FEBRUARY - timedelta(days=15))])
    assert jobs["tune_als"].when(settings)

    run(jobs, "tune_als", settings, lake)

    metrics = {(row["name"], row["slice"]): row for row in lake.read("metrics").collect()}
    first = {name: metrics[f"recommend.search.{name}", "trial=0"]["value"] for name in ("rank", "alpha")}
    assert first == {"rank": 4, "alpha": settings.recommend.alpha}, "the settings as they are"
    assert metrics["recommend.search.ndcg@10", "trial=0"]["value"] == 1, "b0 buys what was left, in the first window"
    assert metrics["recommend.search.alpha", "trial=1"]["value"] != first["alpha"]
    assert ("recommend.search.rank", "trial=2") not in metrics
    assert metrics["recommend.search.best.alpha", "all"]["value"] == first["alpha"], "of equal ones the first stays"
    assert metrics["recommend.search.gain", "all"]["value"] == 0
    (model,) = lake.read("models").where("name = 'als_search' AND status = 'live'").collect()
    assert json.loads(model["settings"])["alpha"] == first["alpha"]


def test_a_search_without_purchases_to_judge_by_keeps_what_is_set(
    jobs: dict[str, Job], shop: Callable[..., tuple[Settings, Lake]]
) -> None:
    settings, lake = shop("recommend.search.trials=1")

    run(jobs, "tune_als", settings, lake)

    metrics = {(row["name"], row["slice"]): row["value"] for row in lake.read("metrics").collect()}
    assert metrics["recommend.search.ndcg@10", "trial=0"] is None
    assert metrics["recommend.search.best.rank", "all"] == settings.recommend.rank
    assert metrics["recommend.search.gain", "all"] == 0


def test_a_search_finds_a_summit_and_finds_it_again(settings: Settings) -> None:
    wide = settings.recommend.model_copy(update={"search": settings.recommend.search.model_copy(update={"trials": 40})})
    tried: list[RecommendSettings] = []

    def worth(number: int, given: RecommendSettings) -> float | None:
        assert number % 40 == len(tried) % 40
        tried.append(given)
        return (
            None if number == 1 else -((np.log(given.alpha) - np.log(10)) ** 2) - (np.log(given.rank) - np.log(32)) ** 2
        )

    best = search(wide, worth, seed=3)

    assert 5 < best.alpha < 20
    assert 20 < best.rank < 50
    assert tried[0] == wide
    assert all(8 <= one.rank <= 64 and 0.1 <= one.alpha <= 40 for one in tried)
    assert search(wide, worth, seed=3) == best


def buyers_of_milk() -> list[tuple[str, str, datetime]]:
    """Users m… buy milk, of their kind, once a month, and six of a tool before each window: never again.

    Users f… buy one of each tool, so that tools are popular, and what a first stage puts first.
    """
    months = [datetime(2024, month, 10, tzinfo=UTC) for month in (10, 11, 12)]
    tools = {"axe": datetime(2024, 11, 28, tzinfo=UTC), "drill": datetime(2024, 12, 30, tzinfo=UTC)}
    tools["saw"] = datetime(2025, 1, 28, tzinfo=UTC)
    rows = []
    for number in range(60):
        rows += [(f"m{number}", f"milk{number % 6}", time) for time in (*months, JANUARY, FEBRUARY)]
        rows += [(f"m{number}", f"{tool}{number % 6}", time) for tool, time in tools.items() for _ in range(6)]
    rows += [(f"f{n}", f"{tool}{kind}", time) for tool, time in tools.items() for kind in range(6) for n in range(30)]
    return rows


def test_a_second_stage_learns_that_milk_is_bought_again_and_a_saw_is_not(
    jobs: dict[str, Job], shop: Callable[..., tuple[Settings, Lake]]
) -> None:
    small = ("recommend.rerank.pool=10", "recommend.rerank.depth=3")
    settings, lake = shop("recommend.rerank.enabled=true", *small, more=buyers_of_milk())
    assert jobs["train_reranker"].when(settings)

    for name in ("train_als", "train_reranker", "recommend"):
        run(jobs, name, settings, lake)

    metrics = {row["name"]: row for row in lake.read("metrics").collect()}
    assert metrics["recommend.rerank.gain"]["low"] > 0.1
    gain = metrics["recommend.rerank.ndcg@10"]["value"] - metrics["recommend.ndcg@10"]["value"]
    assert gain > 0.1
    assert metrics["recommend.rerank.users"]["value"] == metrics["recommend.users"]["value"]
    items = {row["user_id"]: row["items"] for row in lake.read("candidates").collect()}
    assert sorted(items) == USERS, "those of user_features"
    assert all(0 <= item["score"] <= 1 for of_user in items.values() for item in of_user)
    (model,) = lake.read("models").where("name = 'reranker' AND status = 'live'").collect()
    assert json.loads(model["settings"])["use"] is True


def test_a_second_stage_with_nothing_to_learn_from_is_not_used(
    jobs: dict[str, Job], shop: Callable[..., tuple[Settings, Lake]]
) -> None:
    settings, lake = shop("recommend.rerank.enabled=true", "recommend.mode=discover")

    for name in ("train_als", "train_reranker", "recommend"):
        run(jobs, name, settings, lake)

    metrics = {row["name"]: row["value"] for row in lake.read("metrics").collect()}
    assert metrics["recommend.rerank.gain"] is None
    (model,) = lake.read("models").where("name = 'reranker' AND status = 'live'").collect()
    assert json.loads(model["settings"])["use"] is False
    items = {row["user_id"]: row["items"] for row in lake.read("candidates").collect()}
    assert items["b0"][0]["product_id"] == "tool0", "as the first stage has it"


def test_without_a_model_the_message_names_it(jobs: dict[str, Job], shop: Callable[..., tuple[Settings, Lake]]) -> None:
    settings, lake = shop()

    with pytest.raises(MissingTableError, match="model als does not exist"):
        run(jobs, "recommend", settings, lake)
