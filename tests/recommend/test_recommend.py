"""One suite for the whole stage, on data whose answer is known."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any, Literal

import numpy as np
import pyarrow as pa
import pytest
from pyspark.sql import DataFrame, Row, SparkSession
from pyspark.sql import functions as F

from offerlake.config import ApproximateSettings, RecommendSettings, Settings
from offerlake.errors import DataError
from offerlake.features.groups import user_groups
from offerlake.recommend.als import fit, ratings, user_factors
from offerlake.recommend.baselines import frequency, popularity, popularity_in_groups
from offerlake.recommend.blocks import Catalogue, Rule, _Scores, best_of_block
from offerlake.recommend.judged import Stage, bought_after, contenders
from offerlake.recommend.nearest import Nearest
from offerlake.recommend.topn import Scorer, _blocks, catalogue, showable
from recommend import made


@pytest.fixture(scope="module")
def small(settings: Settings) -> RecommendSettings:
    return settings.recommend.model_copy(update={"rank": 4, "iterations": 6, "blocks": 2, "n": 3})


def run(
    spark: SparkSession, frame: DataFrame, settings: RecommendSettings, users: Iterable[str] | None = None
) -> dict[str, list[Row]]:
    """The stage from interactions to candidates; users are those of the interactions unless given."""
    user_index, product_index = made.index(spark, frame, "user_id"), made.index(spark, frame, "product_id")
    model = fit(ratings(frame, user_index, product_index), settings=settings, seed=7)
    wanted = (
        user_index.select("user_id")
        if users is None
        else spark.createDataFrame([(u,) for u in users], "user_id string")
    )
    popular = popularity(frame, as_of=made.AS_OF, days=28, mode=settings.mode)
    products = catalogue(model.itemFactors, product_index, popular, made.shown(product_index))
    scorer = Scorer(frame, user_factors(model, user_index), product_index, products)
    rows = scorer.recommend(wanted, [Rule.of(settings, own_weight=1.0)]).collect()
    assert len(rows) == len({row["user_id"] for row in rows})
    return {row["user_id"]: row["items"] for row in rows}


def with_(settings: RecommendSettings, **changes: Any) -> RecommendSettings:
    return settings.model_copy(update=changes)


def test_a_product_new_to_the_user_comes_from_his_own_taste(spark: SparkSession, small: RecommendSettings) -> None:
    found = run(spark, made.interactions(spark, made.tastes()), with_(small, mode="discover"))

    firsts = {user: (items[0]["product_id"], items[0]["source"]) for user, items in found.items()}

    assert firsts == {
        f"{user}{i}": (f"{kind}{i}", "als") for user, kind in (("a", "tea"), ("b", "tool")) for i in range(made.EACH)
    }


def test_discover_never_shows_what_was_bought(spark: SparkSession, small: RecommendSettings) -> None:
    rows = made.tastes()
    found = run(spark, made.interactions(spark, rows), with_(small, mode="discover", n=100))

    shown = {(user, item["product_id"]) for user, items in found.items() for item in items}

    assert shown.isdisjoint({(user, product) for user, product, _, _ in rows})
    assert {len(items) for items in found.values()} == {made.EACH + 1}


def test_replenish_shows_what_was_bought_first_and_often_bought_before_once_bought(
    spark: SparkSession, small: RecommendSettings
) -> None:
    rows = [(u, p, 60.0 if (u, p) == ("a0", "tea3") else w, 1) for u, p, w, _ in made.tastes()]
    found = run(spark, made.interactions(spark, rows), with_(small, mode="replenish", n=6))["a0"]

    assert found[0]["product_id"] == "tea3"
    assert [item["source"] for item in found] == ["own"] * 5 + ["als"]
    assert found[5]["product_id"] == "tea0"
    assert all(item["score"] < 10 for item in found)


def test_views_alone_are_not_purchases(spark: SparkSession, small: RecommendSettings) -> None:
    viewed = made.interactions(spark, made.tastes(purchases=0))

    found = run(spark, viewed, with_(small, mode="discover"))

    assert {item["source"] for items in found.values() for item in items} == {"als"}
    assert all(items[0]["product_id"].startswith("tea") for user, items in found.items() if user.startswith("a"))


def test_cold_users_get_popular_products_and_the_row_says_why(spark: SparkSession, small: RecommendSettings) -> None:
    rows = [*made.tastes(), ("b0", "tea5", 6.0, 1), ("b1", "tea5", 6.0, 1), ("b2", "tea4", 6.0, 1)]

    found = run(spark, made.interactions(spark, rows), small, users=["new", "a0"])

    assert [(item["product_id"], item["source"]) for item in found["new"]] == [
        ("tea5", "popular"),
        ("tea4", "popular"),
        ("tea0", "popular"),  # the first of those with as many users
    ]
    assert found["a0"][0]["source"] == "own"


@pytest.mark.parametrize("mode", ["replenish", "discover", "both"])
def test_one_user_and_one_product(spark: SparkSession, small: RecommendSettings, mode: str) -> None:
    found = run(spark, made.interactions(spark, [("u", "p", 6.0, 1)]), with_(small, mode=mode))

    assert [item["product_id"] for item in found["u"]] == ([] if mode == "discover" else ["p"])


def test_more_places_than_products_gives_all_products(spark: SparkSession, small: RecommendSettings) -> None:
    found = run(spark, made.interactions(spark, made.tastes()), with_(small, n=1000))

    assert {len(set(items)) for items in found.values()} == {2 * made.EACH}


def test_no_interactions_is_a_clear_error(spark: SparkSession, small: RecommendSettings) -> None:
    frame = made.interactions(spark, [])
    index = spark.createDataFrame([("u", 0)], "user_id string, idx int")
    products = spark.createDataFrame([("p", 0)], "product_id string, idx int")

    with pytest.raises(DataError, match="interactions: no user has viewed or bought"):
        fit(ratings(frame, index, products), settings=small, seed=7)


def test_bad_weights_and_unknown_ids_are_left_out(spark: SparkSession) -> None:
    rows = [("u", "p", 1.0, 1), ("u", "q", float("nan"), 1), ("u", "r", float("inf"), 1), ("v", "p", 1.0, 1)]
    frame = made.interactions(spark, [*rows, ("u", "s", -1.0, 1)])
    users = spark.createDataFrame([("u", 5)], "user_id string, idx int")

    rated = ratings(frame, users, made.index(spark, frame, "product_id"))

    assert [tuple(row) for row in rated.collect()] == [(5, 9, 1.0)]


def test_the_same_data_give_the_same_candidates_however_they_are_cut(
    spark: SparkSession, small: RecommendSettings
) -> None:
    rows = made.tastes()
    one = run(spark, made.interactions(spark, rows).coalesce(1), with_(small, block_users=3))
    other = run(spark, made.interactions(spark, rows[::-1]).repartition(5), with_(small, block_users=3))

    assert one == other


def test_popularity_counts_users_of_the_window_only(spark: SparkSession) -> None:
    old = made.interactions(spark, [("u", "p", 1.0, 1), ("v", "p", 1.0, 1), ("u", "r", 1.0, 1)], day=1)
    new = made.interactions(spark, [("w", "p", 1.0, 0), ("u", "q", 1.0, 1), ("v", "q", 1.0, 1)], day=2)

    rows = popularity(old.unionByName(new), as_of=made.AS_OF, days=27, mode="both").orderBy("product_id").collect()

    assert [(row["product_id"], row["users"], round(row["popularity"], 6)) for row in rows] == [
        ("p", 1, round(np.log(3) / np.log(4), 6)),
        ("q", 2, 1.0),
        ("r", 0, 0.5),
    ]
    assert all(row["appeal"] == row["popularity"] for row in rows)


def test_what_is_new_to_a_user_appeals_by_those_who_took_it_up(spark: SparkSession) -> None:
    """Everybody has milk, and had it before the window; two took up tea in it, one soap."""
    before, within = datetime(2025, 1, 1, tzinfo=UTC), datetime(2025, 2, 20, tzinfo=UTC)
    rows = [(f"u{i}", "milk", before) for i in range(9)] + [
        (user, product, within) for user, product in (("u1", "tea"), ("u2", "tea"), ("u1", "soap"))
    ]
    frame = spark.createDataFrame(
        [(made.AS_OF, user, product, 6.0, 2, first, within) for user, product, first in rows], made.SCHEMA
    )

    found = {row["product_id"]: row for row in popularity(frame, as_of=made.AS_OF, days=28, mode="discover").collect()}

    assert {name: row["users"] for name, row in found.items()} == {"milk": 9, "tea": 2, "soap": 1}
    assert found["milk"]["popularity"] == 1
    appeal = {name: round(row["appeal"], 6) for name, row in found.items()}
    assert appeal == {"tea": 1.0, "soap": round(np.log(3) / np.log(4), 6), "milk": 0.5}


def test_popularity_without_anything_in_the_window_is_one_for_all(spark: SparkSession) -> None:
    rows = popularity(
        made.interactions(spark, [("u", "p", 1.0, 1)], day=1), as_of=made.AS_OF, days=7, mode="both"
    ).collect()

    assert [(row["users"], row["popularity"]) for row in rows] == [(0, 1.0)]


def test_frequency_is_by_purchases_then_by_id(spark: SparkSession) -> None:
    frame = made.interactions(spark, [("u", "p", 1.0, 2), ("u", "c", 1.0, 1), ("u", "b", 1.0, 1), ("u", "v", 9.0, 0)])

    rows = frequency(frame, k=2).orderBy("rank").collect()

    assert [tuple(row) for row in rows] == [("u", "p", 1), ("u", "b", 2)]


def test_ties_go_to_the_smaller_id_and_scores_are_rounded() -> None:
    products = Catalogue(
        ids=pa.array(["a", "b", "c", "d"]),
        factors=np.array([[0.5], [0.5000001], [0.25], [0.5]], dtype=np.float32),
        popular=np.array([[0.1, 0.2, 0.3, 0.3]], dtype=np.float32),
        place=np.array([0, 1, 2, 3]),
        category=np.zeros(4, dtype=np.int64),
        price=np.full(4, np.nan, dtype=np.float32),
        content=np.zeros(4, dtype=bool),
    )
    known = User("known", [1.0], {2: np.e - 1, 99: 1.0})
    other = User("not wanted", [1.0], {1: 1.0}, wanted=False)
    block = told([known, User("cold", None, {}), other])

    found = shown(block, products, Rule(3, "both", 0.25, 2))

    assert [(i["product_id"], i["score"], i["source"]) for i in found["known"]] == [
        ("a", 0.5, "als"),
        ("b", 0.5, "als"),
        ("c", 0.5, "own"),
    ]
    assert [(i["product_id"], i["score"]) for i in found["cold"]] == [("c", 0.3), ("d", 0.3), ("b", 0.2)]
    assert len(found) == 2
    assert shown(told([other]), products, Rule(3, "both", 0.25, 2)) == {}


@dataclass(frozen=True)
class User:
    """A user of a block; `bought` is weight by number of the product."""

    user_id: str
    features: list[float] | None
    bought: dict[int, float]
    wanted: bool = True


def told(users: list[User]) -> pa.Table:
    """The rows of a block: purchases, factors, users."""
    rows = [{"user_id": user.user_id, "product": p, "weight": w} for user in users for p, w in user.bought.items()]
    rows += [{"user_id": user.user_id, "features": user.features} for user in users if user.features is not None]
    rows += [{"user_id": user.user_id, "wanted": True} for user in users if user.wanted]
    names = {"user_id": pa.string(), "wanted": pa.bool_(), "features": pa.list_(pa.float32())}
    return pa.Table.from_pylist(rows, pa.schema({**names, "product": pa.int32(), "weight": pa.float32()}))


def shown(block: pa.Table, products: Catalogue, rule: Rule) -> dict[str, list[dict[str, Any]]]:
    """The products of each user."""
    found = best_of_block(block, products, rule)
    return dict(zip(found["user_id"].to_pylist(), found["items"].to_pylist(), strict=True))


def naive(
    users: list[User], products: Catalogue, rule: Rule, *, among: Collection[int] | None = None
) -> dict[str, list[str]]:
    """What `best_of_block` is to show, a user and a product at a time."""
    lists = {}
    for user in users:
        own = {int(products.place[number]): weight for number, weight in user.bought.items()}
        own = {place: weight for place, weight in own.items() if place >= 0}
        prices = [float(products.price[place]) for place in own if not np.isnan(products.price[place])]
        scored = []
        for place in range(len(products.ids)) if among is None else among:
            score = float(products.popularity[place])
            if user.features is not None:
                score = float(np.dot(np.float32(user.features), products.factors[place]))
            if place in own:
                score += rule.own_weight * np.log1p(own[place]) + (1000 if rule.mode == "replenish" else 0)
                if rule.mode == "discover":
                    continue
            elif rule.price_band and prices and not np.isnan(products.price[place]):
                low, high = (times * np.mean(prices) for times in rule.price_band)
                if not low <= products.price[place] <= high:
                    continue
            scored.append((-round(score, 5), products.ids[place].as_py(), int(products.category[place])))
        best: list[str] = []
        of: dict[int, int] = {}
        for _, name, category in sorted(scored):
            if len(best) < rule.n and (rule.per_category is None or of.get(category, 0) < rule.per_category):
                best.append(name)
                of[category] = of.get(category, 0) + 1
        lists[user.user_id] = best
    return lists


@pytest.mark.parametrize("wrong", [False, True])
@pytest.mark.parametrize("per_category", [None, 1, 3])
@pytest.mark.parametrize("mode", ["replenish", "discover", "both"])
def test_the_best_are_those_of_a_plain_loop(
    mode: Literal["replenish", "discover", "both"],
    per_category: int | None,
    wrong: bool,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """With strips and heaps of candidates so small that each way through the code is taken, and many ties."""
    monkeypatch.setattr("offerlake.recommend.blocks._STRIP", 16)
    monkeypatch.setattr("offerlake.recommend.blocks._SAMPLE", 75)
    monkeypatch.setattr("offerlake.recommend.blocks._HELD", 2)
    if wrong:  # where the sample says that the best begin higher than they do
        monkeypatch.setattr(
            "offerlake.recommend.blocks._Scores.guess", lambda scores, _: np.full(len(scores), 0.4, dtype=np.float32)
        )
    random = np.random.default_rng(5)
    size, users, rank = 150, 12, 2
    prices = random.integers(1, 60, size).astype(np.float32)
    prices[::7] = np.nan
    products = Catalogue(
        ids=pa.array([f"p{i:03}" for i in range(size)]),
        factors=random.integers(-4, 5, (size, rank)).astype(np.float32) / 4,
        popular=random.integers(0, 5, (1, size)).astype(np.float32) / 4,
        place=np.where(np.arange(2 * size) % 2, -1, np.arange(2 * size) // 2),
        category=np.sort(random.integers(0, 4, size)) ** 2,
        price=prices,
        content=np.zeros(size, dtype=bool),
        scopes={"few": np.array([3, 50, 149]), "half": np.arange(0, size, 2), "none": np.array([], dtype=np.int64)},
    )
    people = [
        User(
            f"u{i}",
            None if i % 4 == 0 else random.integers(-4, 5, rank).tolist(),
            dict.fromkeys(random.choice(2 * size, int(random.integers(0, 9)), replace=False).tolist(), i % 3),
        )
        for i in range(users)
    ]
    for n, band in ((1, None), (6, (0.5, 2.0)), (40, (0.9, 1.2)), (500, None)):
        rule = Rule(n, mode, 0.5, users, 1, per_category, band)
        found = shown(told(people[::-1]), products, rule)
        assert {user: [item["product_id"] for item in items] for user, items in found.items()} == naive(
            people, products, rule
        )
    rule = Rule(5, mode, 0.5, users, 2, per_category, (0.5, 2.0))
    found = best_of_block(told(people), products, rule)
    for row in pa.Table.from_batches([found]).to_pylist():
        of_offer = dict(row["scoped"])
        assert list(of_offer) == ["few", "half", "none"]
        for offer, places in products.scopes.items():
            wanted = naive(people, products, replace(rule, n=2, per_category=None), among=places)
            assert of_offer[offer] == wanted[row["user_id"]]


def test_products_that_cannot_be_among_the_best_are_not_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("offerlake.recommend.blocks._STRIP", 16)
    monkeypatch.setattr("offerlake.recommend.blocks._SAMPLE", 16)
    plain, looked = _Scores._plain, [0]

    def counted(scores: _Scores, some: slice, users: Any, *, room: Any) -> Any:
        found = plain(scores, some, users, room=room)
        looked[0] += found.size
        return found

    monkeypatch.setattr(_Scores, "_plain", counted)
    random = np.random.default_rng(2)
    size, people = 320, [User(f"u{i}", random.standard_normal(4).tolist(), {}) for i in range(8)]
    lengths = random.permutation(0.97 ** np.arange(size))
    products = Catalogue(
        ids=pa.array([f"p{i:03}" for i in range(size)]),
        factors=(random.standard_normal((size, 4)) * lengths[:, None]).astype(np.float32),
        popular=np.zeros((1, size), dtype=np.float32),
        place=np.arange(size),
        category=np.zeros(size, dtype=np.int64),
        price=np.full(size, np.nan, dtype=np.float32),
        content=np.zeros(size, dtype=bool),
    )
    rule = Rule(5, "both", 0.5, len(people))

    found = shown(told(people), products, rule)

    assert {user: [item["product_id"] for item in items] for user, items in found.items()} == naive(
        people, products, rule
    )
    assert looked[0] < len(people) * size / 2  # the sample of 16 included


def test_an_index_that_looks_at_all_lists_finds_the_same_and_one_that_does_not_is_told_of() -> None:
    random = np.random.default_rng(3)
    size, rank = 600, 8
    products = Catalogue(
        ids=pa.array([f"p{i:03}" for i in range(size)]),
        factors=random.standard_normal((size, rank), dtype=np.float32),
        popular=random.random((1, size), dtype=np.float32),
        place=np.arange(size),
        category=random.integers(0, 5, size),
        price=random.integers(1, 60, size).astype(np.float32),
        content=np.zeros(size, dtype=bool),
    )
    people = [
        User(
            f"u{i:02}",
            None if i == 3 else random.standard_normal(rank).tolist(),
            dict.fromkeys(random.choice(size, 5, replace=False).tolist(), 1.0),
        )
        for i in range(40)
    ]
    all_lists, few = (
        replace(
            products,
            nearest=Nearest.of(products.factors, ApproximateSettings(enabled=True, probes=probes, found=4), seed=1),
        )
        for probes in (200, 8)
    )
    for mode in ("replenish", "discover", "both"):
        for band, most in ((None, None), ((0.5, 2.0), 3)):
            rule = Rule(8, mode, 0.5, 64, 1, most, band)
            exact = shown(told(people), products, rule)
            for user, items in shown(told(people), all_lists, rule).items():
                assert [(i["product_id"], i["source"]) for i in items] == [
                    (i["product_id"], i["source"]) for i in exact[user]
                ]
                assert [i["score"] for i in items] == pytest.approx([i["score"] for i in exact[user]], abs=2e-5)
            found = shown(told(people), few, rule)
            assert all(len(found[user]) == len(items) for user, items in exact.items()), "who has too few sees all"
            assert found["u03"] == exact["u03"], "nobody without factors uses it"
            kept = np.mean(
                [len({i["product_id"] for i in found[u]} & {i["product_id"] for i in exact[u]}) for u in exact]
            )
            assert 3 < kept < 8


def test_a_user_without_events_gets_what_is_popular_among_users_like_him(
    spark: SparkSession, small: RecommendSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All of 60 northern users have tea, all of 140 southern ones soap; salt is known to 20 of each."""
    monkeypatch.setattr("offerlake.recommend.topn._PRIOR", 24)
    rows = [(f"n{i}", "tea", 6.0, 1) for i in range(60)] + [(f"s{i}", "soap", 6.0, 1) for i in range(140)]
    rows += [(f"{side}{i}", "salt", 6.0, 1) for side in "ns" for i in range(20)]
    frame = made.interactions(spark, rows)
    users = spark.createDataFrame(
        [(f"n{i}", "north") for i in range(80)] + [(f"s{i}", "south") for i in range(150)] + [("who", None)],
        "user_id string, region string",
    ).withColumn("arrived_at", F.lit(datetime(2025, 1, 1, tzinfo=UTC)))
    groups = user_groups({"users": users}.__getitem__, by=["region"], as_of=made.AS_OF)
    assert groups is not None
    assert user_groups({}.__getitem__, by=[], as_of=made.AS_OF) is None
    user_index, product_index = made.index(spark, frame, "user_id"), made.index(spark, frame, "product_id")
    model = fit(ratings(frame, user_index, product_index), settings=small, seed=7)
    products = catalogue(
        model.itemFactors,
        product_index,
        popularity(frame, as_of=made.AS_OF, days=28, mode="both"),
        made.shown(product_index),
        in_groups=popularity_in_groups(frame, groups, as_of=made.AS_OF, days=28),
    )
    scorer = Scorer(frame, user_factors(model, user_index), product_index, products, groups)
    wanted = spark.createDataFrame([(user,) for user in ("n79", "s149", "who")], "user_id string")

    rule = Rule(2, "both", 1.0, 8)
    rows_of = scorer.recommend(wanted, [rule, replace(rule, in_groups=False)]).collect()

    lists = {(row["rule"], row["user_id"]): [item["product_id"] for item in row["items"]] for row in rows_of}
    assert products.groups == ("north", "south")
    assert lists[0, "n79"] == ["tea", "salt"]
    assert lists[0, "s149"] == ["soap", "salt"]
    assert lists[0, "who"] == ["soap", "tea"], "of no known region"
    assert all(lists[1, user] == ["soap", "tea"] for user in ("n79", "s149", "who"))
    # Of 240 pairs 80 are northern: (60 + 24·60/240) / (80 + 24) of 240 are 152.3, against 60 of everybody's.
    tea = products.ids.to_pylist().index("tea")
    assert products.popular[1, tea] == pytest.approx(np.log(2 + 240 * 66 / 104) / np.log(142), abs=1e-6)


def test_out_of_stock_and_blocked_categories_are_not_recommended(spark: SparkSession) -> None:
    products = spark.createDataFrame(
        [
            ("tea", "Food > Tea", 2.0, 3),
            ("gone", "Food > Tea", 2.0, 0),
            ("owed", "Food > Tea", 2.0, -2),
            ("unknown", "Food > Tea", None, None),
            ("gin", "Drinks > Spirits > Gin", 9.0, None),
            ("water", "Drinks > Water", 1.0, None),
        ],
        "product_id string, category string, price double, stock int",
    )

    def left(blocked: tuple[str, ...]) -> set[tuple[str, str, float | None]]:
        return {tuple(row) for row in showable(products, blocked=blocked).collect()}

    in_stock = {("tea", "Food", 2.0), ("unknown", "Food", None)}
    assert left(()) == {*in_stock, ("gin", "Drinks", 9.0), ("water", "Drinks", 1.0)}
    assert left(("Drinks > Spirits",)) == {*in_stock, ("water", "Drinks", 1.0)}
    assert left(("Drinks", "Spirits")) == in_stock


def test_blocks_are_whole_whatever_the_batches() -> None:
    numbers = [0, 0, 1, 1, 1, 2]
    one = pa.record_batch({"block": numbers})

    for batches in ([one], [one.slice(0, 1), one.slice(1, 2), one.slice(3)], [one.slice(i, 1) for i in range(6)]):
        assert [table["block"].to_pylist() for table in _blocks(batches)] == [[0, 0], [1, 1, 1], [2]]


def test_truth_is_what_was_bought_in_the_window_and_known_at_its_end(spark: SparkSession) -> None:
    lines = spark.sql(
        """SELECT user_id, product_id, to_timestamp(order_time) AS order_time, to_timestamp(arrived_at) AS arrived_at,
                  quantity, true AS known_product
           FROM VALUES ('u', 'p', '2025-02-01', '2025-02-01', 1), ('u', 'p', '2025-02-02', '2025-02-02', 1),
                       ('u', 'early', '2025-01-31', '2025-02-02', 1), ('u', 'late', '2025-02-20', '2025-03-01', 1),
                       ('u', 'back', '2025-02-20', '2025-02-20', -1), ('u', 'again', '2025-02-20', '2025-02-20', 1)
                AS t(user_id, product_id, order_time, arrived_at, quantity)"""
    )
    before = made.interactions(spark, [("u", "again", 1.0, 1), ("u", "p", 1.0, 0)])
    cut = made.AS_OF.replace(month=2)

    both, new = (
        sorted(row["product_id"] for row in bought_after(before, lines, cut=cut, as_of=made.AS_OF, mode=mode).collect())
        for mode in ("both", "discover")
    )

    assert both == ["again", "p"]
    assert new == ["p"]


@pytest.mark.parametrize("mode", ["replenish", "discover", "both"])
def test_contenders_are_ranked_without_gaps(spark: SparkSession, small: RecommendSettings, mode: str) -> None:
    frame = made.interactions(spark, made.tastes())
    users = spark.createDataFrame([("a1",), ("new",)], "user_id string")

    stage = Stage.of(
        frame,
        cut=made.AS_OF,
        user_index=made.index(spark, frame, "user_id"),
        product_index=made.index(spark, frame, "product_id"),
        products=made.known(made.index(spark, frame, "product_id")),
        groups=None,
        settings=small,
        seed=7,
    )

    found = contenders(users, stage, settings=with_(small, mode=mode))
    lists = {
        name: [row["product_id"] for row in rows.where("user_id = 'a1'").orderBy("rank").collect()]
        for name, rows in {**found.ours, **found.baselines}.items()
    }
    if mode != "replenish":  # ALS alone is the contender without own purchases
        lists["recommend.als"] = lists[0.0]

    new = mode == "discover"
    own = {} if new else {"recommend.own": ["tea0", "tea2", "tea3"]}
    assert set(lists) == {"recommend.als", "recommend.popularity", *own, *([0.0] if new else [0.0, 0.1, 1.0])}
    assert {name: lists[name] for name in own} == own
    assert lists["recommend.popularity"] == (["tea1", "tool0", "tool1"] if new else ["tea0", "tea1", "tea2"])
    assert lists["recommend.als"][0].startswith("tea")
    assert ("tea1" in lists["recommend.als"]) or not new
