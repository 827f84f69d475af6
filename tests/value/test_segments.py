"""Segments: users of four planted kinds are told apart, and numbers and names last as long as the kinds do."""

from __future__ import annotations

import json
from collections.abc import Mapping

import numpy as np
import pytest
from pyspark.sql import DataFrame, SparkSession

from offerlake.config import Settings
from offerlake.value.labels import NOT_BUYING, Labels, label
from offerlake.value.profiles import kept_share, placed, profiles
from offerlake.value.segments import adjusted_rand, segment
from offerlake.value.traits import TRAITS, Scale, from_values, learn_scales, scaled, to_values, traits

UNIT = tuple(Scale(low=-9.0, high=9.0, mean=0.0, deviation=1.0) for _ in TRAITS)
# recency, orders, order value, discount share, sessions
KINDS: Mapping[str, tuple[float | None, int, float | None, float | None, int]] = {
    "loyal": (3.0, 40, 60.0, 0.02, 30),
    "dealer": (20.0, 12, 15.0, 0.4, 12),
    "lapsed": (250.0, 2, 30.0, 0.05, 0),
    "looker": (None, 0, None, None, 25),
}


def features(spark: SparkSession, *, each: int = 40, kinds: Mapping[str, tuple[object, ...]] = KINDS) -> DataFrame:
    """Users of each kind with some spread."""
    random = np.random.default_rng(4)
    rows = []
    for kind, (recency, orders, basket, discount, sessions) in kinds.items():
        for number in range(each):
            a, b = random.uniform(0.8, 1.2, 2)
            spent = None if basket is None else float(basket * b)
            count = round(orders * a)
            rows.append(
                (f"{kind}-{number}", None if recency is None else float(recency * a), count, count * (spent or 0.0),
                 spent, discount, round(sessions * b))
            )  # fmt: skip
    return spark.createDataFrame(
        rows,
        "user_id string, order_recency_days double, orders_364d int, money_364d double, order_value_364d double, "
        "discount_share_364d double, sessions_84d int",
    )


@pytest.fixture(scope="module")
def known(spark: SparkSession) -> DataFrame:
    return features(spark).cache()


def test_traits_are_limited_and_on_one_scale(spark: SparkSession, known: DataFrame) -> None:
    values = traits(known)
    scales = learn_scales(values, winsor=0.05)
    rows = {row["user_id"]: row["z"] for row in scaled(values, scales).collect()}
    table = np.array(list(rows.values()))
    assert table.mean(axis=0) == pytest.approx(np.zeros(len(TRAITS)), abs=1e-6)
    # Who never ordered counts as the mean in two traits, which draws these in.
    assert table.std(axis=0)[[0, 1, 4]] == pytest.approx(np.ones(3), abs=1e-6)
    place = {trait.name: number for number, trait in enumerate(TRAITS)}
    assert all(rows[f"looker-{i}"][place["basket"]] == 0.0 for i in range(40))
    assert max(scale.high for scale in scales) <= np.log1p(364)
    outlier = spark.createDataFrame([("x", 1.0, 10**6, 1e9, 1e6, 0.0, 10**6)], known.schema)
    far = scaled(traits(known.unionByName(outlier)), scales).where("user_id = 'x'").collect()[0]["z"]
    assert far[place["orders"]] == pytest.approx(max(row[place["orders"]] for row in rows.values()))


def test_planted_kinds_are_found_by_both_methods(known: DataFrame, settings: Settings) -> None:
    values = traits(known).cache()
    scales = learn_scales(values, winsor=0.01)
    users = scaled(values, scales).cache()
    section = settings.segments.model_copy(update={"methods": ("kmeans", "bisecting"), "k_max": 4})
    found = segment(users, settings=section, seed=1, former=None)
    assert found is not None

    assert set(found.silhouettes) == {(method, k) for method in ("kmeans", "bisecting") for k in (3, 4)}
    assert found.choice[1] == 4
    assert found.silhouettes[found.choice] == max(found.silhouettes.values()) > 0.8
    assert found.stability == pytest.approx(1.0)
    labels = label(found.centres, scales, choice=found.choice, former=None, limit=0.5)
    rows = placed(users, labels, scales).collect()
    kinds = {(row["user_id"].split("-")[0], row["segment"]) for row in rows}
    assert len(kinds) == len({kind for kind, _ in kinds}) == 4, "each kind is one segment"
    by_kind = {row["user_id"].split("-")[0]: (row["segment"], row["name"]) for row in rows}
    assert by_kind["loyal"][0] == 1, "who orders most comes first"
    assert by_kind["loyal"][1] == "recent, frequent"
    assert "deal seekers" in by_kind["dealer"][1]
    assert by_kind["looker"][1].startswith(NOT_BUYING)
    assert "seldom on the site" in by_kind["lapsed"][1]
    again = segment(users.repartition(5), settings=section, seed=1, former=("kmeans", 3))
    assert again is not None
    assert again.choice == found.choice, "three are worse by more than the margin"
    assert np.array_equal(again.centres, found.centres), "whatever the partitions"
    patient = section.model_copy(update={"methods": ("kmeans",), "keep_margin": 2.0})
    kept = segment(users, settings=patient, seed=1, former=("kmeans", 3))
    assert kept is not None
    assert kept.choice == ("kmeans", 3)
    assert len(kept.centres) == 3


def test_a_sample_chooses_and_all_users_are_fitted(known: DataFrame, settings: Settings) -> None:
    values = traits(known)
    users = scaled(values, learn_scales(values, winsor=0.01)).cache()
    section = settings.segments.model_copy(update={"methods": ("kmeans",), "k_min": 4, "k_max": 4, "sample": 100})
    found = segment(users, settings=section, seed=1, former=None)
    assert found is not None
    whole = segment(users, settings=section.model_copy(update={"sample": 1000}), seed=1, former=None)
    assert whole is not None
    assert found.centres == pytest.approx(whole.centres, abs=1e-9)


def test_too_few_kinds_of_users_make_no_segments(spark: SparkSession, settings: Settings) -> None:
    users = scaled(traits(features(spark, each=1)), UNIT)
    assert segment(users.limit(3), settings=settings.segments, seed=1, former=None) is None
    few = segment(users, settings=settings.segments.model_copy(update={"k_min": 3}), seed=3, former=None)
    assert few is not None
    assert few.choice == ("kmeans", 3), "four users make three segments at most"


def _labels(centres: list[list[float]], former: Labels | None = None, scales: tuple[Scale, ...] = UNIT) -> Labels:
    return label(np.array(centres), scales, choice=("kmeans", len(centres)), former=former, limit=0.5)


def _centre(**z: float) -> list[float]:
    return [z.get(trait.name, 0.0) for trait in TRAITS]


FREQUENT = _centre(orders=1.5, discount=-0.6)
DEALS, LAPSED = _centre(orders=0.3, discount=2.0), _centre(recency=2.0, orders=0.1)


def test_names_say_what_stands_out_and_are_unique() -> None:
    found = _labels([FREQUENT, DEALS, LAPSED, _centre(orders=0.2), _centre(orders=0.1, recency=-0.1)])
    assert dict(found.names) == {
        1: "frequent, full price", 2: "deal seekers", 3: "lapsed", 4: "like most", 5: "like most 2",
    }  # fmt: skip
    twins = _labels([_centre(orders=1.5, visits=1.2, recency=-0.9), _centre(orders=1.3, visits=1.4, basket=-0.8)])
    assert list(twins.names.values()) == ["frequent, browsing", "browsing, frequent, small baskets"]


def test_a_segment_keeps_number_and_name_until_it_moves_too_far() -> None:
    before = _labels([FREQUENT, DEALS, LAPSED])
    moved = [[x + 0.3 for x in centre] for centre in (LAPSED, FREQUENT)]  # in another order, and one is gone
    fresh = _centre(basket=2.5, orders=0.4)

    now = _labels([moved[0], fresh, moved[1]], former=before)
    assert dict(now.names) == {1: "frequent, full price", 3: "lapsed", 4: "large baskets, frequent"}
    assert now.centres[3] == pytest.approx(moved[0])
    assert now.unused == 5

    far = [[x + 1.2 for x in centre] for centre in (FREQUENT, DEALS, LAPSED)]
    later = _labels(far, former=now)
    assert set(later.names) == {5, 6, 7}, "each has moved too far, and no number comes back"

    read = Labels.of(json.loads(json.dumps(now.as_dict())))
    assert read == now
    strange = now.as_dict()
    strange["segments"][0]["centre"] = {"shoe size": 1.0}
    assert Labels.of(strange) is None


def test_a_segment_that_stayed_is_not_given_away() -> None:
    """The least sum over all pairs would have the one that stayed take the place of the one that is gone."""
    before = _labels([_centre(orders=0.0), _centre(orders=-3.0)])
    now = _labels([_centre(orders=0.0), _centre(orders=3.0)], former=before)
    assert now.centres[1] == pytest.approx(_centre(orders=0.0))
    assert now.centres[3] == pytest.approx(_centre(orders=3.0))


def test_the_least_sum_of_distances_decides_not_the_first_come() -> None:
    """The first centre is nearest to segment 1, but would leave nothing near for the second."""
    before = _labels([_centre(orders=1.0), _centre(orders=-0.2)])
    now = _labels([_centre(orders=0.5), _centre(orders=1.2)], former=before)
    assert now.centres[1] == pytest.approx(_centre(orders=1.2))
    assert now.centres[2] == pytest.approx(_centre(orders=0.5))


def test_centres_are_compared_on_todays_scale() -> None:
    """All customers order twice as much as at the last run: the same segments among them."""
    before = _labels([FREQUENT, DEALS, LAPSED])
    doubled = tuple(
        Scale(low=-9.0, high=9.0, mean=0.7 if trait.name == "orders" else 0.0, deviation=1.0) for trait in TRAITS
    )
    z = from_values(to_values(np.array([FREQUENT]), UNIT), doubled)
    assert z[0] == pytest.approx(
        [x - (0.7 if t.name == "orders" else 0.0) for x, t in zip(FREQUENT, TRAITS, strict=True)]
    )
    flat = tuple(Scale(low=0.0, high=0.0, mean=3.0, deviation=0.0) for _ in TRAITS)
    assert from_values(np.array([FREQUENT]), flat).tolist() == [[0.0] * len(TRAITS)]
    now = _labels([FREQUENT, DEALS, LAPSED], former=before, scales=doubled)
    assert set(now.names) == {1, 2, 3}


def test_profiles_are_the_means_of_who_is_in_them(spark: SparkSession, known: DataFrame) -> None:
    values = traits(known)
    scales = learn_scales(values, winsor=0.01)
    users = scaled(values, scales).cache()
    z = {row["user_id"]: row["z"] for row in users.collect()}
    centres = np.array([np.mean([z[f"{kind}-{i}"] for i in range(40)], axis=0) for kind in KINDS])
    labels = label(centres, scales, choice=("kmeans", 4), former=None, limit=0.5)
    rows = placed(users, labels, scales)
    value = spark.createDataFrame([("loyal-0", 100.0), ("loyal-1", 50.0)], "user_id string, clv double")

    found = {row["segment"]: row for row in profiles(rows, known, labels, scales, value=value).collect()}
    assert [found[number]["users"] for number in (1, 2, 3, 4)] == [40] * 4
    assert [found[number]["share"] for number in (1, 2, 3, 4)] == [0.25] * 4
    assert found[1]["orders_364d"] == pytest.approx(40, rel=0.05)
    assert (found[1]["clv"], found[2]["clv"]) == (75.0, None)
    assert (found[4]["order_recency_days"], found[4]["orders_364d"]) == (None, 0.0)
    assert found[1]["centre"]["orders"] == pytest.approx(centres[0][1], abs=1e-5)
    assert profiles(rows, known, labels, scales, value=None).where("clv IS NOT NULL").count() == 0

    assert kept_share(rows, labels, scales) == 1.0
    fewer = Labels(labels.choice, labels.names, {n: labels.centres[n] for n in (1, 2, 3)}, labels.unused)
    assert kept_share(rows, fewer, scales) == 0.75


def test_the_adjusted_rand_index() -> None:
    assert adjusted_rand(np.array([[5.0, 0.0], [0.0, 7.0]])) == 1.0
    assert adjusted_rand(np.array([[5.0, 5.0], [5.0, 5.0]])) == pytest.approx(-0.0556, abs=1e-3)
    # sklearn's example: labels [0, 0, 1, 2] against [0, 0, 1, 1].
    assert adjusted_rand(np.array([[2.0, 0.0], [0.0, 1.0], [0.0, 1.0]])) == pytest.approx(0.5714, abs=1e-4)
