"""What the whole pipeline earns on test shops of several seeds, as a share of the oracle, against simpler policies.

    .venv/bin/python benchmarks/pipeline.py --seeds 5 --users 20000 --dir out/bench [--json]

Prints a line a seed and policy with 95 % intervals over users, then in how many seeds each claim holds. Ends with exit
code 1 where one does not hold in every seed.
"""

from __future__ import annotations

import json
import sys
from typing import Any

from _seeds import finished, options

POLICIES = ("model", "ceiling", "arm_average", "best_single", "response_ranked", "old_rule", "random")
CLAIMS = ("model above 0", "above response_ranked", "above best_single", "above arm_average", "half of ceiling")
NAMES = (
    *(f"oracle_share.{name}" for name in POLICIES),
    *(f"oracle_gap.{name}" for name in POLICIES[1:]),
    "oracle_ratio.ceiling", "published.true_value", "published.true_spend", "published.oracle_share", "offers.spend",
    "offers.value_dr", "offers.value_model", "offers.mde", "response.auc",
)  # fmt: skip


def held(found: dict[str, Any]) -> dict[str, bool]:
    """Which claims hold: by the lower ends of the intervals, which are paired where two policies are compared."""
    return {
        "model above 0": found["oracle_share.model_low"] > 0,
        "above response_ranked": found["oracle_gap.response_ranked_low"] > 0,
        "above best_single": found["oracle_gap.best_single_low"] > 0,
        "above arm_average": found["oracle_gap.arm_average_low"] > 0,
        "half of ceiling": (found["oracle_ratio.ceiling_low"] or 0.0) >= 0.5,
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
    chosen = options(__doc__ or "", seeds=5, users=20_000)
    counts = dict.fromkeys(CLAIMS, 0)
    seeds = []
    for seed in range(1, chosen.seeds + 1):
        found = finished(seed, "shop", chosen).metrics
        seeds.append({key: found.get(key) for name in NAMES for key in (name, f"{name}_low", f"{name}_high")})
        for claim, holds in held(found).items():
            counts[claim] += holds
        if not chosen.json:
            sys.stdout.write(f"seed {seed}\n" + "".join(f"  {told(name, found)}\n" for name in NAMES))
            sys.stdout.flush()
    if chosen.json:
        known = [{key: value for key, value in seed.items() if value is not None} for seed in seeds]
        sys.stdout.write(json.dumps({"claims": counts, "of": chosen.seeds, "seeds": known}) + "\n")
    else:
        sys.stdout.writelines(f"{claim}: {number} of {chosen.seeds} seeds\n" for claim, number in counts.items())
    sys.exit(0 if all(number == chosen.seeds for number in counts.values()) else 1)


if __name__ == "__main__":
    main()
