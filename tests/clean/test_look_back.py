"""Records that come in parts, on several days: cleaned part by part they are what they are cleaned all at once."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from pyspark.sql import SparkSession

from conftest import TEST_SETS
from offerlake import cleaning
from offerlake.config import load_settings
from offerlake.errors import SchemaError
from offerlake.job import Context, execute
from offerlake.pipeline import load_jobs
from offerlake.tables import Lake
from quality.made import silver

from .made import raw

FIRST = datetime(2025, 9, 1, tzinfo=UTC)
AS_OF = date(2025, 9, 20)
LOADS = [FIRST + timedelta(days=days, hours=1) for days in (9, 10, 12)]
Row = dict[str, str]


class Shop:
    """A lake to clean a feed in."""

    def __init__(self, spark: SparkSession, root: Path, **clean: Any) -> None:
        self.spark = spark
        self.lake = Lake(spark, str(root))
        for name in ("products", "users", "identities", "offers"):
            self.lake.create(name)
        self.settings = load_settings([], [*TEST_SETS], env={}, given=_given(root, clean))

    def load(self, feed: str, rows: Sequence[Mapping[str, str]], at: datetime) -> None:
        """Adds records to bronze."""
        self.lake.write(f"raw_{feed}", raw(self.spark, feed, rows, source=at.isoformat(), loaded=at))

    def clean(self, feed: str) -> Context:
        """Runs the job."""
        job = load_jobs()[f"clean_{feed}"]
        return execute(job, spark=self.spark, settings=self.settings, as_of=AS_OF, run_id="r")

    def rows(self, name: str) -> list[str]:
        """A table's rows as text, in an order of their own."""
        return sorted(str(row) for row in self.lake.read(name).collect())


def _given(root: Path, clean: Mapping[str, Any]) -> dict[str, Any]:
    return {"run.lake": str(root), **{f"clean.{name}": value for name, value in clean.items()}}


def _time(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%S")


def _clicks(seed: int) -> list[list[Row]]:
    """Parts of a click log with all that depends on other records, across parts, days and midnights."""
    draw = random.Random(seed)
    made: list[tuple[datetime, Row]] = []

    def click(number: int, at: datetime, **more: str) -> None:
        row = {"event_id": f"e{number}", "event_time": _time(at), "arrived_at": _time(at + timedelta(minutes=1))}
        made.append((at, {**row, "event_type": "view", "anonymous_id": "a0", **more}))

    number = 0
    for _ in range(60):
        begin = FIRST + timedelta(hours=draw.uniform(0, 11 * 24))
        who = {"anonymous_id": f"a{draw.randrange(4)}"}
        for step in range(draw.randrange(1, 5)):
            login = {"user_id": f"u{draw.randrange(3)}"} if draw.random() < 0.3 else {}
            click(number, begin + timedelta(minutes=draw.uniform(0, 25) * step), **who, **login)
            number += 1
    midnight = FIRST + timedelta(days=9, hours=23, minutes=58)
    for step in range(60):  # a bot across midnight, of which each part has too few events to be told
        click(number, midnight + timedelta(seconds=4 * step), anonymous_id="robot")
        number += 1
    parts: list[list[Row]] = [[], [], []]
    for at, row in made:
        due = next((k for k, load in enumerate(LOADS) if at < load - timedelta(hours=1)), 2)
        parts[min(2, due + (draw.random() < 0.15))].append(row)  # some come a load later
    for k, part in enumerate(parts):
        for row in draw.sample(part, 6):
            later = parts[draw.randrange(k, 3)]
            later.append(row if draw.random() < 0.5 else {**row, "query": "other"})
    nobody = {"event_type": "view", "user_id": "u1"}
    parts[1].append({"event_id": "bad", "event_time": "yesterday", **nobody})
    future = _time(FIRST + timedelta(days=400))
    parts[2].append({"event_id": "odd", "event_time": future, "arrived_at": future, **nobody})
    return parts


def test_clicks_that_come_in_parts(spark: SparkSession, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    parts = _clicks(1)
    apart, whole = Shop(spark, tmp_path / "apart", look_back_days=2), Shop(spark, tmp_path / "whole")
    apart.load("clicks", parts[0], LOADS[0])
    first = apart.clean("clicks")
    apart.load("clicks", parts[1], LOADS[1])
    with monkeypatch.context() as patched:
        patched.setattr(Lake, "write", _killed(Lake.write, at="clicks"))
        with pytest.raises(SchemaError):
            apart.clean("clicks")
    apart.load("clicks", parts[2], LOADS[2])  # more has come in before it is run again
    apart.clean("clicks")
    for part, at in zip(parts, LOADS, strict=True):
        whole.load("clicks", part, at)
    monkeypatch.setattr(cleaning, "_LARGE", 1)  # finds repeated keys as in a large log
    at_once = whole.clean("clicks")
    monkeypatch.undo()

    both = apart.rows("clicks"), apart.rows("quarantine")
    assert both == (whole.rows("clicks"), whole.rows("quarantine"))
    codes = Counter(row["reasons"][0].split(":")[0] for row in whole.lake.read("quarantine").collect())
    assert {"bot", "changed", "unparsable", "clock_skew"} <= codes.keys()
    assert at_once.counts["rows_in"] == sum(len(part) for part in parts)
    read = apart.lake.read("metrics").where("name LIKE 'clean.clicks.%'").collect()
    told = {row["name"].rpartition(".")[2]: row["value"] for row in read}
    totals = ("rows_in", "rows_out", "duplicates", "quarantined")
    assert {name: told[name] for name in totals} == {name: at_once.counts[name] for name in totals}

    # Where nothing is new, nothing is done; by other rules all is decided anew.
    before = apart.lake.version("clicks")
    again = apart.clean("clicks")
    assert again.counts["rows_in"] == again.counts["rows_out"] == 0
    assert (apart.rows("clicks"), apart.rows("quarantine"), apart.lake.version("clicks")) == (*both, before)
    given = _given(tmp_path / "apart", {"look_back_days": 2, "session_gap_minutes": 5})
    apart.settings = load_settings([], [*TEST_SETS], env={}, given=given)
    assert apart.clean("clicks").counts["rows_in"] == at_once.counts["rows_in"] > first.counts["rows_in"]


def _killed(write: Callable[..., Any], *, at: str) -> Callable[..., Any]:
    def killed(lake: Lake, name: str, *args: Any, **more: Any) -> Any:
        if name == at:
            raise SchemaError("killed", fix="Run again.")
        return write(lake, name, *args, **more)

    return killed


def _line(order: str, day: int, quantity: int, **more: str) -> Row:
    at = _time(FIRST + timedelta(days=day, hours=8))
    return {
        "order_id": order, "line_id": "1", "user_id": "u", "product_id": "pear", "order_time": at, "arrived_at": at,
        "quantity": str(quantity), "unit_price": "2", **more,
    }  # fmt: skip


def test_returns_of_what_was_bought_before(spark: SparkSession, tmp_path: Path) -> None:
    parts = [
        [_line("a", 0, 2), _line("early", 5, -1, product_id="plum"), _line("b", 8, 1, user_id="v")],
        [_line("r", 9, -1), _line("never", 9, -1, user_id="w"), _line("again", 9, -1, user_id="v")],
        [_line("late", 4, 1, product_id="plum", arrived_at=_time(FIRST + timedelta(days=11)))],
    ]
    apart, whole = Shop(spark, tmp_path / "apart", look_back_days=1), Shop(spark, tmp_path / "whole")
    refused = []
    for part, at in zip(parts, LOADS, strict=True):
        apart.load("orders", part, at)
        whole.load("orders", part, at)
        apart.clean("orders")
        rows = apart.lake.read("quarantine").select("record").collect()
        refused.append(sorted(row["record"].split('"')[3] for row in rows))
    whole.clean("orders")

    assert refused == [["early"], ["early", "never"], ["never"]]  # what was bought on day 4 was not known before
    assert apart.rows("order_lines") == whole.rows("order_lines")
    assert apart.rows("quarantine") == whole.rows("quarantine")


def test_exposures_and_redemptions(spark: SparkSession, tmp_path: Path) -> None:
    for feed, key, when in (("exposures", "exposure_id", "shown_at"), ("redemptions", "redemption_id", "redeemed_at")):
        shop = Shop(spark, tmp_path / feed, look_back_days=1)
        shop.lake.write("offers", silver(spark, "offers", [{"offer_id": "ten"}]))

        def told(number: int, day: int, when: str = when, key: str = key, offer: str = "ten") -> Row:
            at = _time(FIRST + timedelta(days=day))
            return {key: str(number), "user_id": "u", "offer_id": offer, "policy": "p", when: at, "arrived_at": at}

        shop.load(feed, [told(1, 1), told(2, 1, offer="no")], LOADS[0])
        shop.clean(feed)
        shop.load(feed, [told(3, 9), told(3, 9), told(4, 9, offer="no")], LOADS[1])
        second = shop.clean(feed).counts
        assert second == {"rows_in": 3, "rows_out": 1, "duplicates": 1, "quarantined": 1}
        assert [row[key] for row in shop.lake.read(feed).orderBy(key).collect()] == ["1", "3"]
        reasons = [row["reasons"] for row in shop.lake.read("quarantine").collect()]
        assert reasons == [["unknown:offer_id='no'"]] * 2
