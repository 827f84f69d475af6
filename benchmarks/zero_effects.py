"""On shops in which no offer does anything: does the doubly robust interval cover the truth, and is a gain claimed?

    .venv/bin/python benchmarks/zero_effects.py --seeds 20 --users 5000 --dir out/bench [--json]

The truth is what the run's assignment to the arm `model` costs: with no effects every offer used is money given away.
Prints a line a seed, then in how many of them the interval covers the truth and 0 is not below its lower end. Ends with
exit code 1 where either fails in more than one seed of ten.
"""

from __future__ import annotations

import json
import sys
from typing import Any

from _seeds import Seed, finished, options
from pyspark.sql import functions as F


def measured(seed: Seed) -> dict[str, Any]:
    """The estimate with its interval, the true value of what the arm `model` got, and what that says."""
    given = seed.lake.read("user_offers").where(
        (F.col("run_id") == seed.run_id) & (F.col("arm") == "model") & F.col("offer_id").isNotNull()
    )
    outcomes = seed.lake.spark.read.parquet(f"{seed.places.truth}/outcomes")
    outcomes = outcomes.select("user_id", "offer_id", "incremental_margin")
    truth = given.join(outcomes, on=["user_id", "offer_id"], how="inner").agg(F.sum("incremental_margin")).first()
    value = float(truth[0] or 0.0) if truth else 0.0
    estimate, low, high = (seed.metrics.get(f"offers.value_dr{end}") for end in ("", "_low", "_high"))
    return {
        "estimate": estimate,
        "low": low,
        "high": high,
        "truth": value,
        "covers": low is not None and high is not None and low - 1e-9 <= value <= high + 1e-9,
        "silent": low is None or low <= 0,
    }


def main() -> None:
    """Runs all seeds."""
    chosen = options(__doc__ or "", seeds=20, users=20_000)
    seeds = []
    for number in range(1, chosen.seeds + 1):
        found = measured(finished(number, "zero", chosen, "simulate.effects=0"))
        seeds.append(found)
        if not chosen.json:
            shown = "none" if found["estimate"] is None else f"{found['estimate']:9.2f}"
            interval = "" if found["low"] is None else f"[{found['low']:.2f}, {found['high']:.2f}]"
            sys.stdout.write(f"seed {number:2}: {shown} {interval}, truth {found['truth']:.2f}\n")
            sys.stdout.flush()
    counts = {name: sum(found[name] for found in seeds) for name in ("covers", "silent")}
    if chosen.json:
        sys.stdout.write(json.dumps({**counts, "of": chosen.seeds, "seeds": seeds}) + "\n")
    else:
        sys.stdout.write(f"covers the truth: {counts['covers']}; claims no gain: {counts['silent']}, ")
        sys.stdout.write(f"of {chosen.seeds} seeds\n")
    sys.exit(0 if min(counts.values()) >= 0.9 * chosen.seeds else 1)


if __name__ == "__main__":
    main()
