"""Click examples: whose a click is, what counts of it, which rows are kept, and what the job adds day by day."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from pyspark.sql import SparkSession
from pyspark.sql import functions as F

from offerlake.config import ExampleSettings, Settings
from offerlake.features.click_examples import Seen, click_examples, final_through, sampled, seen
from offerlake.features.described import described
from offerlake.job import execute
from offerlake.pipeline import load_jobs
from offerlake.randomness import uniform
from offerlake.response.calibration import unsampled
from offerlake.tables import Lake

from .shop import Row, activity, day, shop

D = day("2025-03-03")


def _event(kind: str, at: str, *, user: str | None = "u", offer: str | None = "ten", **more: Any) -> Row:
    return {"event_type": kind, "user_id": user, "offer_id": offer, "event_time": f"2025-{at}", **more}


def _view(event_id: str, at: str, **more: Any) -> Row:
    return _event("offer_view", at, event_id=event_id, **more)


def _click(at: str, **more: Any) -> Row:
    return _event("offer_click", at, **more)


def _with(settings: Settings, **chosen: Any) -> ExampleSettings:
    return settings.examples.model_copy(
        update={"click_window_minutes": 30, "negative_rate": 1.0, "wait_days": 2, **chosen}
    )


def _labels(spark: SparkSession, settings: ExampleSettings, *clicks: Row) -> dict[str, tuple[int, str]]:
    table = click_examples(shop(spark, clicks=clicks).clicks, first=D, last=D, settings=settings, seed=7)
    return {row.impression_id: (row.clicked, row.label_end.strftime("%d %H:%M")) for row in table.collect()}


def test_a_click_is_of_the_last_impression_before_it_and_in_its_window(spark: SparkSession, settings: Settings) -> None:
    found = _labels(
        spark,
        _with(settings),
        _view("clicked", "03-03 10:00"), _click("03-03 10:05"), _click("03-03 10:06"),
        _view("seen again", "03-03 11:00"), _view("again", "03-03 11:10"), _click("03-03 11:12"),
        _view("at the end", "03-03 12:00"), _click("03-03 12:30"),
        _view("at once", "03-03 13:00"), _click("03-03 13:00"),
        _view("twice, a", "03-03 14:00"), _view("twice, b", "03-03 14:00"), _click("03-03 14:01"),
        _click("03-03 15:00"), _view("too early", "03-03 15:01"),
        _view("another offer", "03-03 16:00"), _click("03-03 16:01", offer="gift"),
        _view("another user", "03-03 17:00", user="v"), _click("03-03 17:01"),
        _view("over midnight", "03-03 23:50"), _click("03-04 00:10"),
        _view("nobody", "03-03 18:00", user=None), _view("nothing", "03-03 18:00", offer=None),
        _view("the day before", "03-02 18:00"), _view("the day after", "03-04 18:00"),
    )  # fmt: skip
    assert found == {
        "clicked": (1, "03 10:30"),
        "seen again": (0, "03 11:10"),
        "again": (1, "03 11:40"),
        "at the end": (0, "03 12:30"),
        "at once": (1, "03 13:30"),
        "twice, a": (0, "03 14:00"),
        "twice, b": (1, "03 14:30"),
        "too early": (0, "03 15:31"),
        "another offer": (0, "03 16:30"),
        "another user": (0, "03 17:30"),
        "over midnight": (1, "04 00:20"),
    }


def test_what_arrives_later_than_the_wait_counts_neither_for_a_label_nor_against_one(
    spark: SparkSession, settings: Settings
) -> None:
    found = _labels(
        spark,
        _with(settings),
        _view("in time", "03-03 10:00"), _click("03-03 10:05", arrived_at="2025-03-05 10:29"),
        _view("late click", "03-03 11:00"), _click("03-03 11:05", arrived_at="2025-03-05 11:30"),
        _view("before a late one", "03-03 12:00"),
        _view("late", "03-03 12:10", arrived_at="2025-03-05 12:11"), _click("03-03 12:15"),
        _view("before one just in time", "03-03 13:00"),
        _view("just in time", "03-03 13:10", arrived_at="2025-03-05 13:10"), _click("03-03 13:15"),
    )  # fmt: skip
    assert found == {
        "in time": (1, "03 10:30"),
        "late click": (0, "03 11:30"),
        "before a late one": (1, "03 12:30"),
        "before one just in time": (0, "03 13:10"),
        "just in time": (1, "03 13:40"),
    }


@pytest.mark.parametrize(("minutes", "wait", "through"), [(30, 2, "03-16"), (1440, 2, "03-16"), (1441, 0, "03-17")])
def test_a_day_is_final_when_all_its_windows_are_over_and_the_wait_is(
    settings: Settings, minutes: int, wait: int, through: str
) -> None:
    chosen = _with(settings, click_window_minutes=minutes, wait_days=wait)
    assert final_through(day("2025-03-20"), settings=chosen) == day(f"2025-{through}")


def test_impressions_are_counted_by_day(spark: SparkSession, settings: Settings) -> None:
    made = shop(
        spark,
        clicks=[
            _view("before", "03-01 10:00"),
            _view("first", "03-02 10:00"),
            _view("late", "03-02 10:00", arrived_at="2025-03-05"),
            _view("later", "03-04 10:00"),
            _click("03-03 10:00"),
            _view("beyond", "03-05 10:00"),
        ],
    )
    found = seen(made.clicks, after=day("2025-03-01"), through=day("2025-03-04"), settings=_with(settings))
    assert found == Seen(rows=3, late=1, days=(day("2025-03-02"), day("2025-03-04")))


RATES = (0.02, 0.1, 0.3)
ROWS, SHARE = 150_000, 0.1


def test_what_is_learnt_of_a_sample_comes_back_to_what_is_true_of_all(spark: SparkSession) -> None:
    """Clicks of three kinds of offers: frequencies in the sample, corrected, are those of all rows, cell by cell.

    Only which negatives are kept is left to chance: their number has a relative standard deviation of
    sqrt((1 − w) / (w × negatives)), and so has the corrected rate, times (1 − rate). Four of them are allowed.
    """
    kind = (F.col("id") % 3).cast("int")
    rate = F.element_at(F.array(*map(F.lit, RATES)), kind + 1)
    all_rows = spark.range(ROWS).select(
        F.col("id").cast("string").alias("impression_id"),
        kind.alias("kind"),
        (uniform(1, "planted", F.col("id")) < rate).cast("int").alias("clicked"),
    )
    true = {row.kind: row.asDict() for row in all_rows.groupBy("kind").agg(
        F.avg("clicked").alias("rate"), F.sum("clicked").alias("ones"), F.count("clicked").alias("rows")).collect()
    }  # fmt: skip
    kept = sampled(all_rows, rate=SHARE, seed=7).persist()
    weight = 1 / F.col("sampling_rate")
    found = kept.groupBy("kind").agg(
        F.sum("clicked").alias("ones"),
        F.avg("clicked").alias("raw"),
        unsampled(F.avg("clicked"), negative_rate=F.lit(SHARE)).alias("corrected"),
        (F.sum(F.col("clicked") * weight) / F.sum(weight)).alias("weighted"),
    )
    for row in found.collect():
        want = true[row.kind]
        assert row.ones == want["ones"], "all positives are kept"
        spread = (1 - want["rate"]) * ((1 - SHARE) / (SHARE * (want["rows"] - want["ones"]))) ** 0.5
        assert abs(row.corrected / want["rate"] - 1) < 4 * spread < 0.06
        assert row.weighted == pytest.approx(row.corrected, rel=1e-9)
        assert row.raw > 2 * row.corrected
    assert sampled(all_rows, rate=1.0, seed=7).count() == ROWS
    fewer = sampled(all_rows, rate=SHARE / 2, seed=7)
    assert fewer.join(kept, on="impression_id", how="left_anti").count() == 0
    other = sampled(all_rows, rate=SHARE, seed=8).where("clicked = 0")
    assert other.join(kept, on="impression_id", how="left_semi").count() < 0.15 * other.count()


def test_features_are_those_of_the_days_before(spark: SparkSession, settings: Settings) -> None:
    made = shop(
        spark,
        users=[{"user_id": "u"}],
        products=[{"product_id": "apple", "price": 2}],
        offers=[{"offer_id": "ten", "depth": 0.1}, {"offer_id": "ten", "depth": 0.2, "arrived_at": "2025-03-03"}],
        order_lines=[
            {"user_id": "u", "product_id": "apple", "order_time": "2025-03-01 10:00"},
            {"user_id": "u", "product_id": "apple", "order_time": "2025-03-02 10:00", "arrived_at": "2025-03-03"},
            {"user_id": "u", "product_id": "apple", "order_time": "2025-03-03 09:00"},
        ],
        clicks=[_view("1", "03-02 10:00"), _view("2", "03-03 10:00", channel="app"), _click("03-03 10:05")],
    )
    table = click_examples(made.clicks, first=day("2025-03-02"), last=D, settings=_with(settings), seed=7)
    told = described(
        table,
        as_ofs=[day("2025-03-02"), D],
        **activity(made, settings),
        **made.tables("clicks", "order_lines", "offers", "offer_products", "products", "users"),
        features=settings.features,
    )
    rows = {row.impression_id: row for row in told.collect()}
    assert {name: (row.orders_28d, row.offer_views_84d, row.depth) for name, row in rows.items()} == {
        "1": (1, 0, 0.1),
        "2": (1, 1, 0.1),
    }
    assert (rows["2"].clicked, rows["2"].kind, rows["2"].channel) == (1, "percent_off", "app")


class _Lake:
    """A lake with clicks, and the job."""

    def __init__(self, spark: SparkSession, settings: Settings, folder: Path) -> None:
        run = settings.run.model_copy(update={"lake": str(folder)})
        self.spark, self.settings = spark, settings.model_copy(update={"run": run, "examples": _with(settings)})
        self.lake = Lake(spark, str(folder))

    def fill(self, *clicks: Row) -> None:
        self.lake.write("clicks", shop(self.spark, clicks=clicks).clicks)

    def run(self, as_of: str, **examples: Any) -> dict[str, tuple[int, int]]:
        """Runs the job; the whole table then."""
        chosen = self.settings.model_copy(update={"examples": _with(self.settings, **examples)})
        job = load_jobs()["build_click_examples"]
        self.context = execute(job, spark=self.spark, settings=chosen, as_of=day(as_of), run_id=as_of)
        rows = self.lake.read("click_examples").collect()
        found = {row.impression_id: (row.clicked, row.window_minutes) for row in rows}
        assert len(found) == len(rows)
        return found

    def metrics(self, as_of: str) -> dict[str, float]:
        rows = self.lake.read("metrics").where(F.col("run_id") == as_of).collect()
        return {row.name.removeprefix("click_examples."): row.value for row in rows}


def test_the_job_adds_the_days_that_have_become_final(spark: SparkSession, settings: Settings, tmp_path: Path) -> None:
    made = _Lake(spark, settings, tmp_path)
    past = [_view("1", "03-02 10:00"), _click("03-02 10:20"), _view("2", "03-02 12:00")]
    made.fill(*past, _view("3", "03-03 10:00"), _view("4", "03-05 10:00"), _click("03-05 10:10"))
    assert made.run("2025-03-06") == {"1": (1, 30), "2": (0, 30)}
    assert made.metrics("2025-03-06") == {"impressions": 2, "late": 0, "clicked": 1}
    assert made.context.counts == {"rows_in": 2, "rows_out": 2}
    version = made.lake.version("click_examples")
    made.run("2025-03-06")
    assert (made.context.outputs, made.lake.version("click_examples")) == ({}, version)

    # A click and an impression come far too late, and one impression in time.
    late = {"arrived_at": "2025-03-08"}
    made.fill(
        *past, _click("03-02 12:05", **late), _view("5", "03-02 13:00", **late), _view("3", "03-03 10:00"),
        _view("6", "03-03 11:00", arrived_at="2025-03-04"), _view("4", "03-05 10:00"), _click("03-05 10:10"),
    )  # fmt: skip
    later = {"1": (1, 30), "2": (0, 30), "3": (0, 30), "6": (0, 30), "4": (1, 30)}
    assert made.run("2025-03-09") == later
    assert made.metrics("2025-03-09") == {"impressions": 3, "late": 0, "clicked": 1}
    assert made.lake.version("click_examples") == version + 1
    anew = _Lake(spark, settings, tmp_path / "anew")
    anew.lake.write("clicks", made.lake.read("clicks"))
    assert anew.run("2025-03-09") == later, "built at once it is the same"

    # As of an earlier day nothing is taken away; another window is for all days.
    assert made.run("2025-03-06") == later
    assert made.run("2025-03-09", click_window_minutes=15) == {
        **dict.fromkeys(("1", "2", "3", "6"), (0, 15)),
        "4": (1, 15),
    }
    assert made.run("2025-03-06", click_window_minutes=30)["4"] == (1, 15), "not final as of then"
    assert made.run("2025-03-09", click_window_minutes=15)["1"] == (0, 15), "nor does it stay as it was"


def test_negatives_are_kept_by_their_rate_which_each_row_tells(
    spark: SparkSession, settings: Settings, tmp_path: Path
) -> None:
    made = _Lake(spark, settings, tmp_path)
    minutes = [f"03-02 {hour:02}:{minute:02}" for hour in range(10) for minute in range(60)]
    made.fill(*(_view(at, at, user=at) for at in minutes), *(_click(at, user=at) for at in minutes[:40]))
    kept = made.run("2025-03-06", negative_rate=0.25)
    rates = made.lake.read("click_examples").groupBy("clicked", "sampling_rate").count().collect()
    assert {tuple(row)[:2] for row in rates} == {(1, 1.0), (0, 0.25)}
    negatives = sum(clicked == 0 for clicked, _ in kept.values())
    assert len(kept) - negatives == 40
    assert abs(negatives - 140) < 4 * (560 * 0.25 * 0.75) ** 0.5
    assert made.context.counts == {"rows_in": 600, "rows_out": len(kept)}


def test_a_shop_without_a_click_log_has_an_empty_table(spark: SparkSession, settings: Settings, tmp_path: Path) -> None:
    made = _Lake(spark, settings, tmp_path)
    made.fill()
    assert made.run("2025-03-06") == {}
    assert (made.context.outputs, made.context.counts) == ({}, {})
    assert made.metrics("2025-03-06") == {"impressions": 0, "late": 0}
