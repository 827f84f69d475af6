"""On shops in which no offer does anything: does the doubly robust interval cover the truth, and is a gain claimed?

    .venv/bin/python benchmarks/zero_effects.py --seeds 20 --users 5000 --dir /tmp/zero

The truth is what the run's assignment to the arm `model` costs: with no effects every offer used is money given away.
Prints a line a seed, then in how many of them the interval covers the truth and 0 is not below its lower end. Ends with
exit code 1 where either fails in more than one seed of ten.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from pyspark.sql import functions as F

from offerlake import demo
from offerlake.session import open_session
from offerlake.tables import Lake


def measured(seed: int, *, users: int, folder: Path, sets: list[str]) -> tuple[float | None, float, float, float]:
    """One seed: the estimate with its interval, and the true value of what the arm `model` got."""
    places = demo.Places.beside(str(folder / f"zero{seed}" / "lake"))
    places.lake.parent.mkdir(parents=True, exist_ok=True)
    settings = demo.demo_settings("shop", places, users=users, seed=seed, sets=["simulate.effects=0", *sets])
    spark = open_session(settings.spark)
    demo.prepare(spark, settings, "shop", places)
    run_id = demo.run(spark, settings)
    found = demo.results(spark, settings, run_id)["metrics"]
    given = Lake(spark, settings.run.lake).read("user_offers").where(
        (F.col("run_id") == run_id) & (F.col("arm") == "model") & F.col("offer_id").isNotNull()
    )  # fmt: skip
    outcomes = spark.read.parquet(f"{places.truth}/outcomes").select("user_id", "offer_id", "incremental_margin")
    truth = (
        given.join(outcomes, on=["user_id", "offer_id"], how="inner").agg(F.sum("incremental_margin")).collect()[0][0]
    )
    estimate = found["offers.value_dr"]
    if estimate is None:
        return None, 0.0, 0.0, truth or 0.0
    return estimate, found["offers.value_dr_low"], found["offers.value_dr_high"], truth or 0.0


def main() -> None:
    """Runs all seeds."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--users", type=int, default=20_000)
    parser.add_argument(
        "--dir", type=Path, required=True, help="where the shops and lakes go; a seed that is there goes on"
    )
    parser.add_argument("--set", action="append", default=[], dest="sets", metavar="A.B=VALUE")
    options = parser.parse_args()
    covered = silent = 0
    # The deep model has no part in the assignment; without it a seed takes half as long.
    sets = ["deep.enabled=false", *options.sets]
    for seed in range(1, options.seeds + 1):
        estimate, low, high, truth = measured(seed, users=options.users, folder=options.dir, sets=sets)
        covered += estimate is not None and low <= truth + 1e-9 and truth - 1e-9 <= high
        silent += estimate is None or low <= 0
        shown = "none" if estimate is None else f"{estimate:9.2f}"
        sys.stdout.write(f"seed {seed:2}: {shown} [{low:.2f}, {high:.2f}], truth {truth:.2f}\n")
        sys.stdout.flush()
    sys.stdout.write(f"covers the truth: {covered} of {options.seeds}; claims no gain: {silent} of {options.seeds}\n")
    sys.exit(0 if min(covered, silent) >= 0.9 * options.seeds else 1)


if __name__ == "__main__":
    main()
