"""How hard the test shop is, over seeds: its percentiles, what the logs tell of its users, and what policies reach.

    .venv/bin/python benchmarks/shop.py --seeds 5 --users 20000 --dir out/bench [--json]

The same lakes as those of `pipeline.py`. Prints a line a number: mean over seeds, lowest and highest. Ends with exit
code 1 where a number's mean is outside its bounds.
"""

from __future__ import annotations

import json
import sys

import numpy as np
import numpy.typing as npt
import pandas as pd
from _seeds import Seed, finished, options
from pyspark.sql import functions as F

from offerlake.evaluate.ceiling import feature_matrix
from offerlake.simulate.catalogue import CATEGORIES
from offerlake.simulate.offers import KINDS

BOUNDS = {
    "base.mean": (0.037, 0.043),
    "base.p05": (0.008, 0.014),
    "base.p95": (0.08, 0.10),
    "effect.p05": (-0.015, -0.005),
    "effect.p95": (0.04, 0.05),
    "gain.PCT20": (None, 0.0),
    "gain.PCT30": (None, 0.0),
    "control_share": (0.24, 0.26),
    "oracle_share.random": (None, 0.1),
    "oracle_share.best_single": (None, 0.35),
    "oracle_share.response_ranked": (None, 0.4),
    "oracle_share.arm_average": (None, 0.5),
    "oracle_share.ceiling": (0.75, 0.9),
}
"""Number to its lowest and highest mean over the seeds; every `explained.*` has to be between 0.6 and 0.8."""
EXPLAINED = (0.6, 0.8)
TRAITS = (
    "need", "price_sensitivity", "contact_aversion", *(f"liking_{kind}" for kind in KINDS),
    *(f"taste_{category.name.lower()}" for category in CATEGORIES),
)  # fmt: skip


def measured(seed: Seed) -> dict[str, float]:
    """The numbers of one seed."""
    places, metrics, lake = seed.places, seed.metrics, seed.lake
    traits = pd.read_parquet(places.truth / "traits").query("not is_bot")
    outcomes = pd.read_parquet(places.truth / "outcomes")
    of_day = F.col("as_of") == F.lit(seed.settings.demo.as_of)
    profiles = lake.read("user_profiles").where(of_day)
    features = lake.read("user_features").where(of_day).join(profiles, on=["as_of", "user_id"], how="left").toPandas()
    randomised = lake.read("examples").where("policy = 'experiment'")
    control = randomised.agg(F.avg(F.col("offer_id").isNull().cast("double"))).collect()[0][0]
    shares = {name: metrics[name] for name in BOUNDS if name.startswith("oracle_share.")}
    shares["oracle_share.model"] = metrics["oracle_share.model"]
    return {
        **_truth(traits, outcomes),
        "control_share": float(control),
        **explained(traits, features),
        **{name: float(value) for name, value in shares.items() if value is not None},
    }


def _truth(traits: pd.DataFrame, outcomes: pd.DataFrame) -> dict[str, float]:
    people = outcomes[outcomes["user_id"].isin(set(traits["user_id"]))]
    chances = people.pivot_table(index="user_id", columns="offer_id", values="p_response")
    base = chances.pop("none")
    effects = chances.sub(base, axis=0).to_numpy()
    gains = people.groupby("offer_id")["incremental_margin"].mean().drop("none")
    return {
        "base.mean": float(base.mean()),
        "base.p05": float(base.quantile(0.05)),
        "base.p95": float(base.quantile(0.95)),
        "effect.p05": float(np.quantile(effects, 0.05)),
        "effect.p95": float(np.quantile(effects, 0.95)),
        **{f"gain.{offer}": float(gain) for offer, gain in gains.items()},
    }


def explained(traits: pd.DataFrame, features: pd.DataFrame) -> dict[str, float]:
    """Share of each trait's variance that boosting on `user_features` explains for users it did not see."""
    both = traits.merge(features, on="user_id", how="inner").sort_values("user_id")
    known = feature_matrix(both)
    fold = np.random.default_rng(0).integers(0, 3, size=len(both))
    return {f"explained.{name}": _explained(known, both[name].to_numpy(dtype=float), fold) for name in TRAITS}


def _explained(known: npt.NDArray[np.float64], value: npt.NDArray[np.float64], fold: npt.NDArray[np.int64]) -> float:
    import xgboost

    predicted = np.zeros_like(value)
    parameters = {"max_depth": 4, "eta": 0.08, "min_child_weight": 30, "nthread": 2, "tree_method": "hist"}
    for held in range(3):
        learn, judge = fold != held, fold == held
        model = xgboost.train(parameters, xgboost.DMatrix(known[learn], label=value[learn]), num_boost_round=120)
        predicted[judge] = model.predict(xgboost.DMatrix(known[judge]))
    return float(1 - np.mean((value - predicted) ** 2) / np.var(value))


def bounds(name: str) -> tuple[float | None, float | None]:
    """Lowest and highest mean over the seeds that a number may have."""
    return EXPLAINED if name.startswith("explained.") else BOUNDS.get(name, (None, None))


def main() -> None:
    """Runs all seeds."""
    chosen = options(__doc__ or "", seeds=5, users=20_000)
    found = [measured(finished(seed, "shop", chosen)) for seed in range(1, chosen.seeds + 1)]
    table = pd.DataFrame(found).agg(["mean", "min", "max"]).T
    outside = []
    for name, row in table.iterrows():
        low, high = bounds(str(name))
        held = (low is None or row["mean"] >= low) and (high is None or row["mean"] <= high)
        if not held:
            outside.append(str(name))
        if not chosen.json:
            mark = "" if held else f"  outside {low} to {high}"
            sys.stdout.write(f"{name:32} {row['mean']:9.4f}  [{row['min']:.4f}, {row['max']:.4f}]{mark}\n")
    if chosen.json:
        answer = {str(name): {key: float(row[key]) for key in row.index} for name, row in table.iterrows()}
        sys.stdout.write(json.dumps({"numbers": answer, "outside": outside, "seeds": chosen.seeds}) + "\n")
    sys.exit(1 if outside else 0)


if __name__ == "__main__":
    main()
