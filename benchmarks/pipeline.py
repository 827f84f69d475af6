"""What the whole pipeline earns on test shops of several seeds, as a share of the oracle, against simpler policies.

    .venv/bin/python benchmarks/pipeline.py --seeds 5 --users 20000 --dir /tmp/pipeline

Prints a line a seed and policy with 95 % intervals over users, then in how many seeds each claim holds. Ends with exit
code 1 where one does not hold in every seed.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path
from typing import Any

from offerlake import demo
from offerlake.session import open_session

POLICIES = ("model", "ceiling", "arm_average", "best_single", "response_ranked", "old_rule", "random")
CLAIMS = ("model above 0", "above response_ranked", "above best_single", "above arm_average", "half of ceiling")


def measured(seed: int, *, users: int, folder: Path, sets: list[str]) -> dict[str, Any]:
    """Runs the demo of one seed; returns its metrics and the seconds it took."""
    places = demo.Places.beside(str(folder / f"seed{seed}" / "lake"))
    places.lake.parent.mkdir(parents=True, exist_ok=True)
    settings = demo.demo_settings("shop", places, users=users, seed=seed, sets=sets)
    spark = open_session(settings.spark)
    begun = time.monotonic()
    demo.prepare(spark, settings, "shop", places)
    run_id = demo.run(spark, settings)
    found = dict(demo.results(spark, settings, run_id)["metrics"])
    return found | {"seconds": time.monotonic() - begun}


def held(found: dict[str, Any]) -> dict[str, bool]:
    """Which claims hold: where an interval is paired, its lower end has to be above 0."""
    return {
        "model above 0": found["oracle_share.model_low"] > 0,
        "above response_ranked": found["oracle_gap.response_ranked_low"] > 0,
        "above best_single": found["oracle_gap.best_single_low"] > 0,
        "above arm_average": found["oracle_gap.arm_average_low"] > 0,
        "half of ceiling": found["oracle_ratio.ceiling"] is not None and found["oracle_ratio.ceiling"] >= 0.5,
    }


def told(name: str, found: dict[str, Any]) -> str:
    """A number with its interval."""
    value = found.get(name)
    if value is None:
        return f"{name:32} -"
    low, high = found.get(f"{name}_low"), found.get(f"{name}_high")
    return f"{name:32} {value:8.3f}" + ("" if low is None else f"  [{low:.3f}, {high:.3f}]")


def main() -> None:
    """Runs all seeds."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--users", type=int, default=20_000)
    parser.add_argument(
        "--dir", type=Path, required=True, help="where the shops and lakes go; a seed that is there goes on"
    )
    parser.add_argument("--set", action="append", default=[], dest="sets", metavar="A.B=VALUE")
    options = parser.parse_args()
    counts = dict.fromkeys(CLAIMS, 0)
    for seed in range(1, options.seeds + 1):
        found = measured(seed, users=options.users, folder=options.dir, sets=options.sets)
        sys.stdout.write(f"seed {seed}: {found['seconds']:.0f} s\n")
        names = [f"oracle_share.{name}" for name in POLICIES]
        names += [f"oracle_gap.{name}" for name in POLICIES[1:]] + ["oracle_ratio.ceiling"]
        names += [
            "published.true_value",
            "published.oracle_share",
            "offers.value_dr",
            "offers.value_model",
            "offers.mde",
        ]
        sys.stdout.write("".join(f"  {told(name, found)}\n" for name in names))
        (options.dir / f"seed{seed}.json").write_text(json.dumps(found, indent=1, sort_keys=True), encoding="utf-8")
        for claim, holds in held(found).items():
            counts[claim] += holds
    for claim, number in counts.items():
        sys.stdout.write(f"{claim}: {number} of {options.seeds} seeds\n")
    sys.exit(0 if all(number == options.seeds for number in counts.values()) else 1)


if __name__ == "__main__":
    main()
