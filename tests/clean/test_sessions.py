"""Sessions: cut by a pause, owned by who logs in, and refused where a machine made them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from pyspark.sql import SparkSession
from pyspark.sql import functions as F

from clean.made import outcomes, raw, rules
from offerlake.clean.clicks import clean_clicks
from offerlake.clean.quarantine import Cleaned
from offerlake.config import Settings

START = datetime(2025, 1, 6, 12, tzinfo=UTC)


def click(name: str, seconds: float, *, user: str | None = None, browser: str | None = None) -> dict[str, Any]:
    when = (START + timedelta(seconds=seconds)).isoformat()
    return {
        "event_id": name,
        "user_id": user,
        "anonymous_id": browser,
        "event_time": when,
        "arrived_at": when,
        "event_type": "view",
    }


def cleaned(spark: SparkSession, settings: Settings, rows: list[dict[str, Any]]) -> Cleaned:
    return clean_clicks(
        raw(spark, "clicks", rows),
        products=spark.createDataFrame([], "product_id string"),
        users=spark.createDataFrame([], "user_id string"),
        rules=rules(settings.clean),
    )


def test_a_pause_ends_a_session_and_a_login_owns_it(spark: SparkSession, settings: Settings) -> None:
    minute = 60
    rows = [
        click("a1", 0, browser="b1"),
        click("a2", 29 * minute, browser="b1"),
        click("a3", 59 * minute, user="u1", browser="b1"),
        click("a4", 60 * minute, browser="b1"),
        click("b1", 90 * minute + 1, browser="b1"),  # 30 minutes and a second later: nobody logs in again
        click("c1", 0, browser="b2"),
        click("d1", 0, user="u1"),  # a log that names no browser: the user's own sessions
        click("d2", 10, user="u1"),
        click("d2", 10, user="u1"),
        {**click("d1", 7200, user="u1"), "event_type": "search"},  # other content: bridges nothing
        click("d3", 2400, user="u1"),
    ]
    found = cleaned(spark, settings, rows)
    assert outcomes(found) == ["good"] * 8 + ["duplicate", "changed:event_id", "good"]
    good = {row["event_id"]: row for row in found.good.collect()}
    groups: dict[str, list[str]] = {}
    for name in sorted(good):
        groups.setdefault(good[name]["session_id"], []).append(name)
    assert sorted(groups.values()) == [["a1", "a2", "a3", "a4"], ["b1"], ["c1"], ["d1", "d2"], ["d3"]]
    assert {name: good[name]["user_id"] for name in ("a1", "a2", "a3", "a4", "b1", "c1", "d1")} == {
        "a1": "u1", "a2": "u1", "a3": "u1", "a4": "u1", "b1": None, "c1": None, "d1": "u1",
    }  # fmt: skip
    assert good["a1"]["anonymous_id"] == "b1"
    again = {row["event_id"]: row["session_id"] for row in cleaned(spark, settings, rows[::-1]).good.collect()}
    assert again == {name: row["session_id"] for name, row in good.items()}


def test_bots_by_rate_and_by_regularity(spark: SparkSession, settings: Settings) -> None:
    assert (settings.clean.bot_min_events, settings.clean.bot_events_per_minute) == (30, 30)
    fast = [click(f"f{k}", k * 1.0 + (k % 3) * 0.3, browser="fast") for k in range(30)]
    short = [click(f"s{k}", k * 1.0, browser="short") for k in range(29)]
    even = [click(f"e{k}", k * 60, user="even") for k in range(30)]
    # 40 events within 39 times 20 seconds on average, with pauses from 2 to 38 seconds: a person in a hurry.
    human = [click(f"h{k}", k * 20 + (k * 7 % 19) - 9, user="human") for k in range(40)]
    later = [click("f-later", 7200, browser="fast")]
    found = cleaned(spark, settings, [*fast, *short, *even, *human, *later])
    by_rate, by_spread = ["bot:score+bot:rate"], ["bot:score+bot:pause_spread"]
    assert outcomes(found) == by_rate * 30 + ["good"] * 29 + by_spread * 30 + ["good"] * 41
    reasons = found.quarantined.select(F.explode("reasons")).distinct().collect()
    assert sorted(row[0] for row in reasons) == ["bot:pause_spread=0.0", "bot:rate=58.8/min", "bot:score=1.0"]


def test_signs_add_up_and_the_agent_alone_is_enough(spark: SparkSession, settings: Settings) -> None:
    """24 events a minute are a sign of 0.247, pauses that spread by 0.11 of one of 0.38: together 0.53."""
    two = [click(f"t{k}", k * 2.5 + (k % 2) * 0.275, browser="two") for k in range(40)]
    one = [click(f"o{k}", k * 2.5 + (k % 7) * 0.3, browser="one") for k in range(40)]
    agent = [{**click("g1", 0, browser="g"), "device": "Googlebot/2.1"}, click("g2", 60, browser="g")]
    phone = [{**click("c1", 0, browser="c"), "device": "Mozilla/5.0 (Linux; CUBOT KING KONG)"}]
    # An event about every 20 minutes for two days and no pause of 30: no person.
    sleepless = [click(f"n{k}", k * 1200 + (k * 7 % 19) * 30, user="n") for k in range(144)]
    found = cleaned(spark, settings, [*two, *one, *agent, *phone, *sleepless])
    both = ["bot:score+bot:rate+bot:pause_spread"] * 40
    assert outcomes(found) == [
        *both, *["good"] * 40, *["bot:score+bot:agent"] * 2, "good", *["bot:score+bot:no_pause"] * 144,
    ]  # fmt: skip
    told = {tuple(row["reasons"][1:]): row["reasons"][0] for row in found.quarantined.collect()}
    score = told.pop(("bot:rate=23.9/min", "bot:pause_spread=0.11"))
    assert float(score.removeprefix("bot:score=")) == pytest.approx(0.53, abs=0.02)
    assert told == {("bot:agent=known",): "bot:score=1.0", ("bot:no_pause=47.8h",): "bot:score=1.0"}


def test_test_accounts_are_refused_with_what_they_did_before_they_logged_in(
    spark: SparkSession, settings: Settings
) -> None:
    rows = [
        click("a1", 0, browser="b1"),
        click("a2", 60, user="test-7", browser="b1"),
        click("a3", 0, user="u.test-7"),
        click("a4", 0, user="qa+1"),
        click("a5", 0, user="qa+12"),
        click("a6", 0, user="qaa1"),
    ]
    mine = settings.model_copy(update={"clean": settings.clean.model_copy(update={"test_users": ("test-*", "qa+?")})})
    found = cleaned(spark, mine, rows)
    gone = "test_account:user_id"
    assert outcomes(found) == [gone, gone, "good", gone, "good", "good"]
    with found.held() as (_, counts):
        assert (counts["rows_in"], counts["rows_out"], counts["quarantined.test_account"]) == (6, 3, 3)


@pytest.mark.parametrize(
    ("breaks", "expected"),
    [
        ([], ["abcdef", "gh"]),
        (["midnight"], ["abcd", "ef", "gh"]),
        (["campaign"], ["abc", "def", "gh"]),
        (["midnight", "campaign"], ["abc", "d", "ef", "gh"]),
    ],
)
def test_midnight_and_campaigns_may_end_a_session(
    spark: SparkSession, settings: Settings, breaks: list[str], expected: list[str]
) -> None:
    begin = 11.75 * 3600  # a quarter of an hour before midnight
    referrers = [None, "ads", None, "mail", None, "mail", None, "ads"]  # who names none still comes from there
    rows = [
        {**click(name, begin + 240 * step + 7200 * (name > "f"), browser="b"), "referrer": referrer}
        for step, (name, referrer) in enumerate(zip("abcdefgh", referrers, strict=True))
    ]
    rows[4]["event_time"] = rows[4]["arrived_at"] = "2025-01-07T00:00:00Z"
    chosen = settings.model_copy(update={"clean": settings.clean.model_copy(update={"session_breaks": tuple(breaks)})})
    groups: dict[str, str] = {}
    for row in cleaned(spark, chosen, rows).good.orderBy("event_id").collect():
        groups[row["session_id"]] = groups.get(row["session_id"], "") + row["event_id"]
    assert sorted(groups.values()) == expected
