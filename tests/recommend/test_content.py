"""Products without factors, on catalogues whose answer is known."""

from __future__ import annotations

import math
from collections.abc import Iterable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from pyspark.sql import DataFrame, Row, SparkSession

from offerlake.config import ContentSettings, Settings
from offerlake.recommend.als import fit, ratings, user_factors
from offerlake.recommend.baselines import popularity
from offerlake.recommend.blocks import Rule
from offerlake.recommend.content import _nearest, untouched
from offerlake.recommend.judged import Stage, contenders
from offerlake.recommend.topn import Scorer, catalogue, showable
from recommend import made

KNOWN = "product_id string, name string, description string, category string, brand string, price double, stock int"
Product = tuple[str, str | None, str | None, str | None, str | None, float | None]
SHELF: list[Product] = [
    ("black", "Black tea", "Strong leaves, for mornings.", "Drinks > Tea", "Leaf", 4.0),
    ("green", "Green tea", "Mild leaves.", "Drinks > Tea", "Leaf", 5.0),
    ("juice", "Apple JUICE", None, "Drinks > Juice", "Orchard", 2.0),
    ("saw", "Saw", "Steel, for strong wood", "Tools > Saws", "Forge", 30.0),
    ("hammer", "Hammer", "Steel", "Tools", None, None),
    ("white", "White tea", "Mild leaves, for evenings", "Drinks > Tea", "Leaf", 6.0),
    ("axe", "Axe", "Steel, for wood", "Tools", "Forge", 25.0),
    ("bare", None, None, "Drinks > Juice", None, None),
    ("twin", "White tea", "Mild leaves, for evenings", "Drinks > Tea", "Leaf", 6.0),
    ("alone", None, None, "Gifts", None, None),
    ("blank", None, None, None, None, None),
]
FACTORS = {
    "black": ([1.0, 0.0], 0.9),
    "green": ([0.8, 0.2], 0.5),
    "juice": ([0.5, -0.5], 0.7),
    "saw": ([0.0, 1.0], 1.0),
    "hammer": ([0.1, 0.7], None),  # nobody looked at it of late
}


def shelf(spark: SparkSession, products: Iterable[Product] = SHELF) -> DataFrame:
    return spark.createDataFrame([(*product, None) for product in products], KNOWN)


def found(
    known: DataFrame, settings: ContentSettings, factors: dict[str, tuple[list[float], float | None]] = FACTORS
) -> dict[str, Row] | None:
    """The new products by id; the others have factors, and numbers against their order."""
    spark = known.sparkSession
    names = sorted(row["product_id"] for row in known.select("product_id").collect())[::-1]
    rows = untouched(
        known,
        spark.createDataFrame(
            [(3 * names.index(name), features) for name, (features, _) in factors.items()],
            "id int, features array<float>",
        ),
        spark.createDataFrame([(name, 3 * place) for place, name in enumerate(names)], "product_id string, idx int"),
        spark.createDataFrame(
            [(name, popular, popular / 2) for name, (_, popular) in factors.items() if popular is not None],
            "product_id string, popularity double, appeal double",
        ),
        settings=settings,
    )
    return None if rows is None else {row["product_id"]: row for row in rows.collect()}


def similarities(products: list[Product]) -> dict[tuple[str, str], float]:
    """The cosines of all pairs, a word at a time."""

    def told(product: Product) -> list[list[str]]:
        _, name, description, category, brand, _ = product
        text = " ".join(part for part in (name, description) if part).lower()
        words = "".join(letter if letter.isalnum() else " " for letter in text).split()
        path = category.split(" > ") if category else []
        return [words, [" > ".join(path[: n + 1]) for n in range(len(path))], [brand] if brand else []]

    logs = [math.log(product[5]) for product in products if product[5]]
    vectors = []
    for product in products:
        vector: dict[tuple[int, str], float] = {}
        for part, (words, weight) in enumerate(zip(told(product), (0.5, 0.3, 0.1), strict=True)):
            numbers = {
                word: words.count(word)
                * math.log((len(products) + 1) / (sum(word in told(other)[part] for other in products) + 1))
                for word in words
            }
            length = math.sqrt(sum(number**2 for number in numbers.values()))
            vector |= {(part, word): math.sqrt(weight) * number / length for word, number in numbers.items()}
        if product[5]:
            angle = math.pi / 8 * max(-2, min(2, (math.log(product[5]) - np.mean(logs)) / np.std(logs)))
            vector |= {(3, "cos"): math.sqrt(0.1) * math.cos(angle), (3, "sin"): math.sqrt(0.1) * math.sin(angle)}
        vectors.append(vector)

    def cosine(one: dict[tuple[int, str], float], other: dict[tuple[int, str], float]) -> float:
        lengths = math.sqrt(sum(x**2 for x in one.values()) * sum(x**2 for x in other.values()))
        return sum(x * other.get(word, 0) for word, x in one.items()) / lengths if lengths else 0.0

    return {
        (a[0], b[0]): cosine(one, other)
        for a, one in zip(products, vectors, strict=True)
        for b, other in zip(products, vectors, strict=True)
    }


@pytest.mark.parametrize(("neighbours", "least"), [(1, 0.05), (2, 0.3), (10, 0.4)])
def test_factors_and_popularity_are_those_of_a_plain_loop(spark: SparkSession, neighbours: int, least: float) -> None:
    alike = similarities(SHELF)
    expected = {}
    for name in ("white", "axe", "twin", "bare", "alone", "blank"):
        nearest = sorted((-alike[name, other], other) for other in FACTORS)[:neighbours]
        if -nearest[0][0] >= least:
            total = sum(-s for s, _ in nearest)
            factors = sum(-s * np.array(FACTORS[other][0]) for s, other in nearest) / total
            popular = sum(-s * (FACTORS[other][1] or 0) for s, other in nearest) / len(nearest)
            expected[name] = [*factors, popular]

    rows = found(shelf(spark), ContentSettings(enabled=True, neighbours=neighbours, least=least))

    assert rows is not None
    assert {"white", "axe"} <= expected.keys(), "the loop finds neighbours"
    assert "blank" not in expected
    assert rows.keys() == expected.keys()
    for name, row in rows.items():
        np.testing.assert_allclose([*row["features"], row["popularity"]], expected[name], atol=2e-5)
        assert row["appeal"] == pytest.approx(row["popularity"] / 2)


def test_without_text_the_category_speaks_and_what_is_like_nothing_stays_out(spark: SparkSession) -> None:
    rows = found(shelf(spark), ContentSettings(enabled=True, neighbours=1, least=0.2))

    assert rows is not None
    assert rows["bare"]["features"] == FACTORS["juice"][0]
    assert rows["bare"]["popularity"] < 0.7, "less is expected of what is less alike"
    assert rows.keys() == {"white", "axe", "twin", "bare"}


def test_the_threshold_is_of_the_nearest(spark: SparkSession) -> None:
    nearest = max(similarities(SHELF)["white", name] for name in FACTORS)

    for least, there in ((nearest - 1e-4, True), (nearest + 1e-4, False)):
        rows = found(shelf(spark), ContentSettings(enabled=True, neighbours=10, least=least))
        assert rows is not None
        assert ("white" in rows) == there


def test_nothing_new_nothing_to_learn_from_and_not_wanted(spark: SparkSession, settings: Settings) -> None:
    rated = shelf(spark, [product for product in SHELF if product[0] in FACTORS])

    assert found(rated, settings.recommend.content) is None
    assert found(shelf(spark), settings.recommend.content, {}) is None
    assert found(shelf(spark), settings.recommend.content.model_copy(update={"enabled": False})) is None


def test_the_same_products_give_the_same_numbers_however_they_are_cut(spark: SparkSession, settings: Settings) -> None:
    many = [*SHELF, *[(f"tea{i:02}", "Tea", "Leaves", "Drinks > Tea", "Leaf", 3.0 + i // 2) for i in range(80)]]

    one = found(shelf(spark, many).coalesce(1), settings.recommend.content)
    other = found(shelf(spark, many[::-1]).repartition(5), settings.recommend.content)

    assert one is not None
    assert len({(*row["features"], row["popularity"]) for row in one.values()}) > 32, "more than two blocks"
    assert one == other


def described(product_index: DataFrame) -> DataFrame:
    """What is known of the products of two tastes."""
    return product_index.selectExpr(
        "product_id",
        "if(product_id LIKE 'tea%', concat_ws(' ', 'tea leaves', substr(product_id, 4)),"
        " concat_ws(' ', 'steel tool', substr(product_id, 5))) AS name",
        "NULL AS description",
        "if(product_id LIKE 'tea%', 'Drinks > Tea', 'Tools > Hand') AS category",
        "NULL AS brand",
        "if(product_id LIKE 'tea%', 3D, 20D) AS price",
        "NULL AS stock",
    )


def test_a_new_product_is_for_those_who_like_what_it_is_like(spark: SparkSession, settings: Settings) -> None:
    small = settings.recommend.model_copy(update={"rank": 4, "blocks": 2, "n": 2, "mode": "discover"})
    frame = made.interactions(spark, made.tastes())
    more = made.interactions(spark, [("", "teaNew", 1.0, 1), ("", "toolNew", 1.0, 1)])
    users, products = made.index(spark, frame, "user_id"), made.index(spark, frame.union(more), "product_id")
    known = described(products)
    model = fit(ratings(frame, users, products), settings=small, seed=7)
    popular = popularity(frame, as_of=made.AS_OF, days=28, mode="discover")
    listed = catalogue(
        model.itemFactors,
        products,
        popular,
        showable(known, blocked=()),
        scopes=spark.createDataFrame([("o", "teaNew")], "offer_id string, product_id string"),
        untouched=untouched(known, model.itemFactors, products, popular, settings=small.content),
    )
    wanted = users.select("user_id").union(spark.createDataFrame([("cold",)], "user_id string"))

    scorer = Scorer(frame, user_factors(model, users), products, listed)
    rows = {row["user_id"]: row for row in scorer.recommend(wanted, [Rule.of(small, own_weight=0.0)]).collect()}

    shown = {user: {(item["product_id"], item["source"]) for item in row["items"]} for user, row in rows.items()}
    assert shown == {"cold": {("tea0", "popular"), ("tea1", "popular")}} | {
        f"{user}{i}": {(f"{kind}{i}", "als"), (f"{kind}New", "content")}
        for user, kind in (("a", "tea"), ("b", "tool"))
        for i in range(made.EACH)
    }
    assert {row["scoped"]["o"][0] for row in rows.values()} == {"teaNew"}

    stage = Stage.of(
        frame,
        cut=made.AS_OF,
        user_index=users,
        product_index=products,
        products=known,
        groups=None,
        settings=small,
        seed=7,
    )
    past = contenders(
        spark.createDataFrame([("a1",)], "user_id string"), stage, settings=small.model_copy(update={"n": 100})
    )
    judged, baseline = (
        [row["product_id"] for row in rows.orderBy("rank").collect()]
        for rows in (past.ours[0.0], past.baselines["recommend.popularity"])
    )
    assert set(judged[:2]) == {"tea1", "teaNew"}, "judged as it is shown"
    assert baseline[-2:] == ["teaNew", "toolNew"], "what nobody has touched is not popular"


@given(st.lists(st.lists(st.integers(0, 5), min_size=4, max_size=4), min_size=1, max_size=3), st.integers(1, 6))
@hypothesis_settings(max_examples=25, deadline=None)
def test_the_nearest_are_those_of_a_sort(rows: list[list[int]], k: int) -> None:
    which, alike = _nearest(np.array(rows, dtype=np.float32) / 5, k)

    for row, places, numbers in zip(rows, which, alike, strict=True):
        expected = sorted(range(4), key=lambda place: (-row[place], place))[:k]
        assert places.tolist() == expected
        np.testing.assert_allclose(numbers, [row[place] / 5 for place in expected], atol=1e-6)
