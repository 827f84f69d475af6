"""Products for sessions of nobody known: the formula by hand and by a plain loop, and who gets what from the job."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from clean.made import raw, rules
from features.shop import moment, shop
from offerlake.clean.clicks import clean_clicks
from offerlake.config import Settings, load_settings
from offerlake.job import execute
from offerlake.pipeline import load_jobs
from offerlake.recommend.sessions import best, by_neighbours, counted, held_out, known_clicks, popular, present, visits
from offerlake.tables import Lake

AS_OF = date(2025, 3, 10)
START = moment("2025-03-05")
M, K, N = 4, 3, 4
Clicks = dict[str, list[tuple[int, str]]]  # session to minutes since START, ascending, and products


def seen(spark: SparkSession, sessions: Clicks) -> DataFrame:
    """The visits of sessions, as known on AS_OF."""
    rows = [
        {"session_id": session, "product_id": product, "event_time": str(START + timedelta(minutes=at))[:19]}
        for session, clicks in sessions.items()
        for at, product in clicks
    ]
    return visits(known_clicks(shop(spark, clicks=rows).clicks, as_of=AS_OF, days=28)).cache()


def found(
    spark: SparkSession, settings: Settings, now: Clicks, past: Clicks, *, hidden: str = ""
) -> dict[str, list[tuple[Any, ...]]]:
    few = settings.recommend.sessions.model_copy(update={"newest": M, "neighbours": K})
    history, sessions = seen(spark, past), spark.createDataFrame([(name,) for name in now], "session_id string")
    products = {product for clicks in past.values() for _, product in clicks} - {hidden}
    shown = spark.createDataFrame([(product,) for product in sorted(products)], "product_id string")
    here = present(seen(spark, now))
    counts = counted(history, shown)
    scored = by_neighbours(here, history, counts, settings=few)
    ranked = best(sessions, here, scored, popular(counts, n=N), n=N)
    lists = defaultdict(list)
    for row in ranked.orderBy("rank").collect():
        lists[row["session_id"]].append((row["product_id"], row["source"], pytest.approx(row["score"])))
    return lists


def test_the_score_by_hand(spark: SparkSession, settings: Settings) -> None:
    """Of the session a, b: b weighs 1 and matches with 0.9, a weighs 1/2 and matches with 0.8."""
    past = {
        "both": [(0, "b"), (1, "a"), (2, "x")],
        "last": [(5, "b"), (6, "y")],
        "first": [(8, "a"), (9, "w")],
        "none": [(10, "z")],
    }
    lists = found(spark, settings, {"s": [(20, "b"), (21, "a"), (22, "b")]}, past)
    assert lists == {
        "s": [
            ("x", "session", 1.5 * 0.9 * math.log(4)),
            ("y", "session", 1.0 * 0.9 * math.log(4)),
            ("w", "session", 0.5 * 0.8 * math.log(4)),
        ]
    }


def by_a_loop(sessions: Clicks, *, hidden: str) -> dict[str, list[tuple[Any, ...]]]:
    """The module's formula, each session against all, itself among them."""
    last = {session: {product: at for at, product in clicks} for session, clicks in sessions.items()}
    ended = {session: max(at.values(), default=0) for session, at in last.items()}
    has = Counter(product for at in last.values() for product in at)
    total = sum(map(bool, last.values()))
    newest = {i: sorted((n for n in last if i in last[n]), key=lambda n: (-ended[n], n))[:M] for i in has}
    often = [
        (i, "popular", has[i] / total) for i in sorted(has, key=lambda i: (-has[i], i)) if i != hidden
    ][: N + 9]  # fmt: skip
    lists = {}
    for session, at in last.items():
        order = sorted(at, key=lambda i: (-at[i], i))[:9][::-1]
        similarity: dict[str, float] = defaultdict(float)
        match = {}
        for place, i in enumerate(order, start=1):
            for n in newest[i]:
                if n != session:
                    similarity[n] += place / len(order)
                    match[n] = 1 - (len(order) + 1 - place) / 10
        near = sorted(similarity, key=lambda n: (-round(similarity[n], 9), -ended[n], n))[:K]
        score = {
            j: sum(similarity[n] * match[n] for n in near if j in last[n]) * math.log(total / has[j])
            for j in {j for n in near for j in last[n]} - {*order, hidden}
        }
        scored = [(j, "session", score[j]) for j in sorted(score, key=lambda j: (-round(score[j], 9), j))]
        lists[session] = (scored or [item for item in often if item[0] not in order])[:N]
    return {session: items for session, items in lists.items() if items}


@hypothesis_settings(
    max_examples=2,
    deadline=None,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(
    clicks=st.lists(
        st.tuples(st.integers(0, 30), st.lists(st.integers(0, 15), min_size=1, max_size=14)), min_size=30, max_size=30
    )
)
def test_lists_are_those_of_a_plain_loop(
    spark: SparkSession, settings: Settings, clicks: list[tuple[int, list[int]]]
) -> None:
    """Two clicks a minute, so that there are ties of all sorts; one more session whose product nobody else has."""
    sessions = {
        f"s{number}": [(begin + place // 2, f"p{product}") for place, product in enumerate(products)]
        for number, (begin, products) in enumerate(clicks)
    } | {"alone": [(0, "q")]}
    lists = found(spark, settings, sessions, sessions, hidden="p3")
    assert lists == by_a_loop(sessions, hidden="p3")
    assert {source for _, source, _ in lists["alone"]} == {"popular"}


def test_a_session_is_judged_by_its_last_product(spark: SparkSession) -> None:
    day = 24 * 60
    log = seen(spark, {
        "old": [(0, "a"), (1, "b")], "one": [(4 * day, "a"), (4 * day + 1, "a")],
        "s": [(4 * day, "b"), (4 * day + 1, "a"), (4 * day + 2, "b"), (4 * day + 3, "c")],
        "over midnight": [(4 * day - 1, "b"), (4 * day, "a")],
    })  # fmt: skip
    before, truth = held_out(log, since=AS_OF - timedelta(days=1), most=10, seed=1)
    assert sorted(map(tuple, truth.collect())) == [("over midnight", "a"), ("s", "c")]
    here = sorted(map(tuple, present(before).collect()))
    assert here == [("over midnight", "b", 1, 1), ("s", "a", 2, 2), ("s", "b", 1, 2)]
    assert held_out(log, since=AS_OF - timedelta(days=1), most=1, seed=1)[1].count() == 1


def _click(browser: str, at: str, product: str | None, **more: Any) -> dict[str, Any]:
    when = f"{moment(f'2025-{at}'):%Y-%m-%dT%H:%M:%SZ}"
    rest = {"event_id": f"{browser} {at} {product}", "event_type": "view" if product else "search", "arrived_at": when}
    return {**rest, "anonymous_id": browser, "event_time": when, "product_id": product, **more}


RAW = [
    *[_click(f"past{number}", f"03-05 1{number}:0{place}", product)
      for number, products in enumerate((("a", "b"), ("a", "b", "gone"), ("a", "toy"), ("c", "d"), ("c", "e"), ("c",)))
      for place, product in enumerate(products)],
    _click("stroller", "03-09 10:00", "a"),
    _click("stroller", "03-09 10:01", "d", arrived_at="2025-03-10T00:00:00Z"),
    _click("late", "03-09 11:00", "a", arrived_at="2025-03-10T09:00:00Z"),
    _click("tomorrow", "03-10 00:00", "a"),
    _click("searcher", "03-09 12:00", None),
    _click("strange", "03-09 12:00", "not in the catalogue"),
    _click("lonely", "03-09 13:00", "f"),
    _click("known", "03-09 14:00", "a"),
    _click("known", "03-09 14:01", "b", user_id="u1"),
    *[_click(f"robot{number}", f"03-08 15:0{place}", product, device="Googlebot/2.1")
      for number in range(9) for place, product in enumerate(("a", "e"))],
    _click("robot", "03-09 15:00", "a", device="Googlebot/2.1"),
]  # fmt: skip


@pytest.fixture
def lake(spark: SparkSession, tmp_path: Path) -> Lake:
    return Lake(spark, str(tmp_path))


def _run(lake: Lake, clicks: DataFrame) -> dict[str, Any]:
    sets = [f"run.lake={lake.root}", "recommend.blocked_categories=[Toys]", "recommend.n=2", "evaluate.bootstrap=10"]
    settings = load_settings([], sets, env={})
    rows = [{"product_id": product} for product in "abcdef"]
    hidden = [{"product_id": "gone", "stock": 0}, {"product_id": "toy", "category": "Toys > Soft"}]
    lake.write("products", shop(lake.spark, products=[*rows, *hidden]).products)
    lake.write("clicks", clicks)
    job = load_jobs()["recommend_sessions"]
    execute(job, spark=lake.spark, settings=settings, as_of=AS_OF, run_id="r1")
    return {row["name"]: row["value"] for row in lake.read("metrics").collect()} if lake.exists("metrics") else {}


def test_who_gets_what(settings: Settings, lake: Lake) -> None:
    spark = lake.spark
    log = clean_clicks(
        raw(spark, "clicks", RAW),
        products=spark.createDataFrame([(product,) for product in ("gone", "toy", *"abcdef")], "product_id string"),
        users=spark.createDataFrame([("u1",)], "user_id string"),
        rules=rules(settings.clean),
    ).good
    metrics = _run(lake, log)
    told = lake.read("session_candidates").select("anonymous_id", F.col("items.product_id"), F.col("items.source"))
    often = (["a", "b"], ["popular", "popular"])  # in five sessions, and in three, as is c
    assert {browser: (products, sources) for browser, products, sources in told.collect()} == {
        "stroller": (["b"], ["session"]),
        "searcher": often,
        "strange": often,
        "lonely": often,
    }
    # One session of the day has two products: a, then b. In the past c and a are in three sessions, b is in two.
    assert metrics == {
        "recommend.sessions.judged": 1,
        "recommend.sessions.hit_rate@20": 1, "recommend.sessions.mrr@20": 1,
        "recommend.sessions.popularity.hit_rate@20": 1, "recommend.sessions.popularity.mrr@20": 1 / 2,
    } | {name: value for name, value in metrics.items() if name.endswith(("_low", "_high"))}  # fmt: skip


def test_without_clicks_there_is_an_empty_table(lake: Lake) -> None:
    assert _run(lake, shop(lake.spark).clicks) == {}
    assert lake.read("session_candidates").isEmpty()
