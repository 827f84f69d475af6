"""The shop as its files and its truth: what lies there agrees, to the row."""

from __future__ import annotations

import csv
import json
from collections import Counter
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from pyspark.sql import SparkSession

from offerlake.config import Settings
from offerlake.errors import ConfigError, DataError
from offerlake.ingest.mapping import load_source
from offerlake.schemas.bronze import FEEDS
from offerlake.simulate import simulate_shop
from offerlake.simulate.calendar import Calendar
from offerlake.simulate.offers import OFFERS
from simulate.made import Shop, changed


def _files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file() and not path.name.startswith("."))


def _csv_rows(shop: Shop, feed: str) -> list[list[str]]:
    rows = []
    for path in _files(shop.landing / feed):
        with path.open(newline="", encoding="utf-8") as file:
            _, *body = csv.reader(file)
            rows += body
    return rows


def _click_lines(shop: Shop) -> list[str]:
    return [line for path in _files(shop.landing / "clicks") for line in path.read_text(encoding="utf-8").splitlines()]


def _parsed(lines: list[str]) -> tuple[list[dict[str, str]], int]:
    good, broken = [], 0
    for line in lines:
        try:
            good.append(json.loads(line))
        except json.JSONDecodeError:
            broken += 1
    return good, broken


def _exposures(shop: Shop) -> pd.DataFrame:
    """The clean ones: spoilt copies have a longer id."""
    every = pd.concat([pd.read_parquet(path) for path in _files(shop.landing / "exposures")])
    return every[every["exposure_id"].str.fullmatch(r"E\d{7}-\d{3}")].drop_duplicates().reset_index(drop=True)


def test_files_hold_as_many_records_as_the_summary_says(shop: Shop) -> None:
    assert len(_click_lines(shop)) == shop.summary.rows["clicks"]
    for feed in ("orders", "products", "users", "redemptions"):
        assert len(_csv_rows(shop, feed)) == shop.summary.rows[feed], feed
    exposures = sum(len(pd.read_parquet(path)) for path in _files(shop.landing / "exposures"))
    assert exposures == shop.summary.rows["exposures"]
    assert len(_files(shop.landing / "offers")[0].read_text().splitlines()) == shop.summary.rows["offers"] == 13
    assert all(path.stat().st_size > 0 for path in _files(shop.landing))


def test_mapping_names_columns_that_the_files_have(shop: Shop) -> None:
    source = load_source("shop")
    for feed, mapping in source.feeds.items():
        path = _files(shop.landing / feed)[0]
        if mapping.format == "csv":
            there = set(path.read_text(encoding="utf-8").splitlines()[0].split(","))
        elif mapping.format == "parquet":
            there = set(pd.read_parquet(path).columns)
        else:
            there = {key for record in _parsed(path.read_text(encoding="utf-8").splitlines())[0] for key in record}
        wanted = {name for ours in FEEDS[feed] for name in mapping.source_columns(ours)}
        # JSON leaves out what is null in every record.
        assert wanted - there <= {"max_redemptions"}, feed


def test_dirt_is_in_the_files_to_the_row(shop: Shop) -> None:
    truth = shop.table("dirt").groupby(["feed", "kind"])["count"].sum()
    assert {f"{feed}.{kind}": count for (feed, kind), count in truth.items()} == shop.summary.dirt

    clicks, broken = _parsed(_click_lines(shop))
    ends = Counter(click["id"].partition("-")[2] for click in clicks)
    copies = sum(count - 1 for count in Counter(json.dumps(click) for click in clicks).values())
    assert broken == truth["clicks", "malformed"]
    assert copies == truth["clicks", "duplicate"]
    assert sum(click["price"] == "12,9x" for click in clicks if "price" in click) == truth["clicks", "bad_number"]
    assert sum(click["ts"] == "yesterday" for click in clicks) == truth["clicks", "bad_time"]
    assert sum(click.get("product_id") == "P-GONE" for click in clicks) == truth["clicks", "unknown_product"]
    assert sum(click.get("user") == "U-GHOST" for click in clicks) == truth["clicks", "unknown_user"]
    good = [click for click in clicks if click["ts"] != "yesterday"]
    assert sum(click["ts"] > click["received_at"] for click in good) == truth["clicks", "clock_skew"]
    assert ends["clock_skew"] == truth["clicks", "clock_skew"]

    orders = _csv_rows(shop, "orders")
    assert sum(len(row) != 11 for row in orders) == truth["orders", "malformed"]
    assert sum(row[9] == "n/a" for row in orders if len(row) == 11) == truth["orders", "bad_number"]
    exposures = pd.concat([pd.read_parquet(path) for path in _files(shop.landing / "exposures")])
    assert (exposures["user_id"] == "U-GHOST").sum() == truth["exposures", "unknown_user"]
    assert exposures.duplicated().sum() == truth["exposures", "duplicate"]


def test_late_records_lie_in_their_own_file_and_keep_their_time(shop: Shop) -> None:
    clicks, _ = _parsed((shop.landing / "clicks" / "late.jsonl").read_text(encoding="utf-8").splitlines())
    clean = {click["id"]: click for click in clicks if "-" not in click["id"]}
    known = shop.table("dirt").query("feed == 'clicks' and kind == 'late'")["record"]
    assert set(clean) == set(known)
    lag = [pd.Timestamp(click["received_at"]) - pd.Timestamp(click["ts"]) for click in clean.values()]
    assert min(lag) >= pd.Timedelta(days=3)
    assert max(lag) <= pd.Timedelta(days=6)


def test_experiment_is_what_its_log_says(shop: Shop) -> None:
    exposures = _exposures(shop)
    accounts = len(shop.table("traits"))
    experiment = exposures[exposures["policy"] == "experiment"]
    assert len(experiment) == accounts * 12
    nothing = experiment["offer_id"].isna()
    assert set(experiment.loc[nothing, "propensity"]) == {0.25}
    assert set(experiment.loc[~nothing, "propensity"]) == {0.0625}
    # Shares within four standard errors of the propensities.
    expected = pd.Series({"none": 0.25, **{offer.offer_id: 0.0625 for offer in OFFERS}})
    shares = experiment["offer_id"].fillna("none").value_counts(normalize=True).reindex(expected.index)
    error = np.sqrt(expected * (1 - expected) / len(experiment))
    assert ((shares - expected).abs() < 4 * error).all()
    # A user's windows follow each other at exactly 14 days: none overlap.
    times = pd.to_datetime(exposures["shown_at"])
    gaps = times.sort_values().groupby(exposures["user_id"]).diff().dropna()
    assert set(gaps) == {pd.Timedelta(days=14)}
    assert times.min().date().isoformat() == "2025-03-03"
    assert times.max().date().isoformat() == "2025-08-18"


def test_old_rule_sends_twenty_percent_to_those_with_most_orders(shop: Shop) -> None:
    campaign = _exposures(shop).query("policy == 'old_rule'").set_index("user_id")
    sent = campaign["offer_id"].notna()
    assert set(campaign.loc[sent, "offer_id"]) == {"PCT20"}
    assert set(campaign["propensity"]) == {1.0}
    people = shop.table("traits").query("not is_bot")["user_id"]
    assert sent.sum() == pytest.approx(0.3 * len(people), abs=10)
    rows = [row for row in _csv_rows(shop, "orders") if len(row) == 11 and row[0].count("-") == 1]
    orders = Counter(row[2] for row in {(row[0], "", row[2]) for row in rows if 10 <= int(row[0][-3:]) <= 15})
    counts = pd.Series({user: orders.get(user, 0) for user in people})
    assert counts[sent[people]].min() >= counts[~sent[people]].max()


def test_orders_follow_the_true_probabilities(shop: Shop) -> None:
    outcomes = shop.table("outcomes").set_index(["user_id", "offer_id"])
    exposures = _exposures(shop)
    rows = [row for row in _csv_rows(shop, "orders") if len(row) == 11 and row[0].count("-") == 1]
    ordered = {row[0] for row in rows}
    chance = outcomes.loc[zip(exposures["user_id"], exposures["offer_id"].fillna("none"), strict=True), "p_response"]
    happened = ("O" + exposures["exposure_id"].str[1:]).isin(ordered)
    error = np.sqrt((chance * (1 - chance)).sum())
    assert abs(happened.sum() - chance.sum()) < 4 * error
    # Nothing reaches out of its window: not the order, not the return.
    start = pd.to_datetime(exposures.set_index("exposure_id")["shown_at"])
    for row in rows:
        if "E" + row[0][1:] in start.index:
            passed = pd.Timestamp(row[4]) - start["E" + row[0][1:]]
            assert pd.Timedelta(0) < passed < pd.Timedelta(days=14)


def test_returns_give_back_what_was_paid(shop: Shop) -> None:
    rows = {tuple(row) for row in _csv_rows(shop, "orders") if len(row) == 11 and row[0].count("-") == 1}
    lines = {(row[0], row[1]): row for row in rows if row[4] != "31/31/2025"}
    returns = [row for (_, line), row in lines.items() if line.endswith("R")]
    assert returns
    for row in returns:
        bought = lines[row[0], row[1].removesuffix("R")]
        assert int(row[6]) == -int(bought[6])
        assert float(row[9]) == pytest.approx(-float(bought[9]), abs=1e-9)
        assert float(row[7]) * int(row[6]) == pytest.approx(float(row[9]), abs=1e-9)
        assert row[4] > bought[4]
    for row in lines.values():
        assert float(row[9]) == pytest.approx(float(row[7]) * int(row[6]) - float(row[8]), abs=1e-9)


def test_bots_are_those_of_the_truth(shop: Shop) -> None:
    clicks, _ = _parsed(_click_lines(shop))
    bots = shop.table("bots")
    assert len(bots) == 6
    ids = set(bots["user_id"].dropna()) | set(bots["anonymous_id"].dropna())
    runs = Counter(click["session"] for click in clicks if {click.get("user"), click.get("visitor")} & ids)
    assert set(runs.values()) == {80}
    people = Counter(click["session"] for click in clicks if click["session"] not in runs)
    assert max(people.values()) < 60
    outcomes = shop.table("outcomes").query("user_id in @ids")
    assert len(outcomes) == 2 * 13
    assert (outcomes["p_response"] == 0).all()


def test_made_again_with_other_partitions_it_is_the_same_to_the_byte(
    shop: Shop, spark: SparkSession, tmp_path: Path
) -> None:
    before = spark.conf.get("spark.sql.shuffle.partitions")
    spark.conf.set("spark.sql.shuffle.partitions", "5")
    try:
        summary = simulate_shop(spark, shop.settings, landing=str(tmp_path / "landing"), truth=str(tmp_path / "truth"))
    finally:
        spark.conf.set("spark.sql.shuffle.partitions", str(before))
    assert summary == shop.summary
    for feed in FEEDS:
        ours = _files(tmp_path / "landing" / feed)
        theirs = _files(shop.landing / feed)
        assert [path.name for path in ours] == [path.name for path in theirs]
        for one, other in zip(ours, theirs, strict=True):
            if one.suffix == ".parquet":
                pd.testing.assert_frame_equal(pd.read_parquet(one), pd.read_parquet(other))
            else:
                assert one.read_bytes() == other.read_bytes(), one.name


def test_feeds_of_another_shop_are_not_overwritten(shop: Shop, spark: SparkSession, tmp_path: Path) -> None:
    (tmp_path / "orders").mkdir()
    (tmp_path / "orders" / "mine.csv").write_text("order_id\n1\n")
    with pytest.raises(DataError, match="orders that no test shop made"):
        simulate_shop(spark, shop.settings, landing=str(tmp_path), truth=str(tmp_path / "truth"))
    assert (tmp_path / "orders" / "mine.csv").read_text() == "order_id\n1\n"


def test_the_truth_goes_into_neither_lake_nor_landing(shop: Shop, spark: SparkSession, tmp_path: Path) -> None:
    own = shop.settings.model_copy(update={"run": shop.settings.run.model_copy(update={"lake": f"{tmp_path}/lake"})})
    for truth in (f"{tmp_path}/lake/truth", f"{tmp_path}/landing"):
        with pytest.raises(ConfigError, match="the truth: got"):
            simulate_shop(spark, own, landing=f"{tmp_path}/landing", truth=truth)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("name", "days"), [("warmup_days", 50), ("round_days", 7)])
def test_a_calendar_that_does_not_fit_is_refused(settings: Settings, name: str, days: int) -> None:
    with pytest.raises(ConfigError, match=name):
        Calendar.of(changed(settings, **{name: days}).simulate)


def test_default_calendar_is_eight_weeks_twelve_rounds_and_a_campaign(settings: Settings) -> None:
    calendar = Calendar.of(settings.simulate)
    assert (calendar.warmup, calendar.rounds, calendar.windows) == (4, 12, 17)
    assert calendar.end.isoformat() == "2025-09-04"
