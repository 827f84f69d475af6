"""How long the deep model takes to train on two processes, and to score: 260,000 rows to learn from, 220,000 pairs.

    .venv/bin/python benchmarks/deep.py [--users 20000] [--json]

Makes examples of that many users in 13 rounds with every column filled at random, and scores 11 pairs a user. Prints
seconds.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from datetime import date, timedelta
from pathlib import Path

from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F

from offerlake.config import load_settings
from offerlake.deep.launch import fit
from offerlake.deep.score import score
from offerlake.randomness import exponential, fold, uniform
from offerlake.schemas import table
from offerlake.session import open_session
from offerlake.tables import Lake
from offerlake.windows import split_by_time

DAYS = [date(2025, 3, 3) + timedelta(days=14 * number) for number in range(13)]
OFFERS = 11


def examples(spark: SparkSession, users: int) -> DataFrame:
    """One row a user and round; the label depends on one column."""

    def made(name: str, kind: str) -> Column:
        if kind == "string":
            return F.concat(F.lit(f"{name}-"), fold(3, name, 6, F.col("id")))
        if kind.startswith("map"):
            return F.create_map().cast(kind)
        return (5 * exponential(3, name, F.col("id"))).cast(kind)

    contract = table("examples")
    day = F.array([F.lit(day) for day in DAYS])[F.pmod("id", F.lit(len(DAYS))).cast("int")]
    given = {
        "exposure_id": F.concat(F.lit("e"), F.col("id")),
        "user_id": F.concat(F.lit("u"), F.floor(F.col("id") / len(DAYS))),
        "shown_date": day,
        "shown_at": day.cast("timestamp"),
        "label_end": F.date_add(day, 14).cast("timestamp"),
        "responded": (uniform(3, "label", F.col("id")) < 1 / (1 + F.col("views_28d"))).cast("int"),
    }
    columns = {column.name: made(column.name, column.type) for column in contract.columns if column.name not in given}
    return contract.select(spark.range(users * len(DAYS)).withColumns(columns).withColumns(given))


def measured(users: int, folder: Path | None) -> dict[str, float]:
    """The seconds of each part."""
    if folder is not None:
        folder.mkdir(parents=True, exist_ok=True)
    settings = load_settings(["local"], ["deep.processes=2", "deep.epochs=3"])
    spark = open_session(settings.spark, app="benchmark")
    with tempfile.TemporaryDirectory(dir=folder and folder.resolve()) as root:
        lake = Lake(spark, f"{root}/lake")
        version = lake.write("examples", examples(spark, users)).version
        rows = lake.read("examples", version=version)
        begun = time.monotonic()
        model, losses = fit(
            rows,
            settings=settings.deep,
            label="responded",
            split=split_by_time(DAYS, validation_share=0.25, test_from=None),
            seed=7,
            folds=settings.response.folds,
            checkpoints=f"file:{root}/checkpoints",
        )
        found = {"train": time.monotonic() - begun, "epochs": sum(len(by_epoch) for by_epoch in losses)}
        pairs = rows.where(F.col("shown_date").isin(DAYS[:OFFERS]))
        for attempt in ("score, with the workers' start", "score again"):
            begun = time.monotonic()
            score(pairs, model).agg(F.avg("p_deep")).collect()
            found[attempt] = time.monotonic() - begun
    return found


def main() -> None:
    """Runs and prints."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--users", type=int, default=20_000)
    parser.add_argument("--dir", type=Path, help="where the examples go for the time being")
    parser.add_argument("--json", action="store_true", help="print one JSON line")
    options = parser.parse_args()
    rows, pairs = options.users * len(DAYS), options.users * OFFERS
    found = {"rows": rows, "pairs": pairs, **measured(options.users, options.dir)}
    if options.json:
        print(json.dumps({name: round(value, 1) for name, value in found.items()}))
        return
    print(f"training on {rows:,} rows, {found['epochs']} epochs, start-up included: {found['train']:.1f} s")
    for attempt in ("score, with the workers' start", "score again"):
        print(f"{pairs:,} pairs, {attempt}: {found[attempt]:.1f} s")


if __name__ == "__main__":
    main()
