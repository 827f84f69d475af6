"""Effects on simulated data whose truth is known: our learners beside those of econml, with the same trees inside.

    .venv/bin/python benchmarks/effects.py --dir out/bench --peer PYTHON [--rows 100000] [--seeds 5] [--json]
    .venv/bin/python benchmarks/effects.py --dir out/bench --setups B --rows 5000000 --seeds 1

`PYTHON` is a Python with econml, xgboost and pyarrow: an environment of its own, since econml's pins are not ours.
Without it ours are run alone. The data are set-ups A to D of Nie and Wager (2021, section 4.1; noise 1, ten numbers a
row) and `arms`: X and baseline of B, five arms with shares 50, 20, 15, 10 and 5 %, whose effects are 0, τ/2, τ,
max(X₁, 0) and −0.2. Only B and `arms` are trials: in the others propensities are estimated, by the same logistic
regression on both sides. Each learner learns from `--rows` rows and is judged on 20,000 others, `--seeds` times.

It prints, for each set-up and learner, the root mean squared error of the effects (of several arms, of all of them),
Qini on the true effects as a share of that of the order by the true effects (not in C, where they are constant; of
several arms the mean of those that differ between rows), and the seconds, means over seeds; and the ratio of ours to
econml's error with its 95 % interval, paired by seed. Ends with exit code 1 where a mean error is more than 5 % above
econml's. econml has no R-learner of several arms with trees.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq
from _watch import answer_of, watch_side
from pyspark.ml.classification import LogisticRegression
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F
from xgboost.spark import SparkXGBRegressor

from offerlake.config import load_settings
from offerlake.randomness import fold
from offerlake.response import learners
from offerlake.session import open_session

Doubles = npt.NDArray[np.float64]
TREES: dict[str, Any] = {"n_estimators": 60, "max_depth": 3, "learning_rate": 0.1}
FOLDS, JUDGED, NUMBERS, LIMIT = 2, 20_000, 10, 1.05
SHARES, PART = (0.5, 0.2, 0.15, 0.1, 0.05), 250_000
TRIALS = ("B", "arms")


def _positive(x: Doubles) -> Doubles:
    return np.maximum(x, 0)


def _trimmed(x: Doubles) -> Doubles:
    return np.clip(np.sin(np.pi * x[:, 0] * x[:, 1]), 0.1, 0.9)


SETUPS: dict[str, tuple[Callable[[Doubles], Doubles], Callable[[Doubles], Doubles], Callable[[Doubles], Doubles]]] = {
    # P(treated), baseline and effect; the outcome is baseline + (treated − 1/2)·effect + noise.
    "A": (
        _trimmed,
        lambda x: np.sin(np.pi * x[:, 0] * x[:, 1]) + 2 * (x[:, 2] - 0.5) ** 2 + x[:, 3] + 0.5 * x[:, 4],
        lambda x: (x[:, 0] + x[:, 1]) / 2,
    ),
    "B": (
        lambda x: np.full(len(x), 0.5),
        lambda x: np.maximum(x[:, 0] + x[:, 1], _positive(x[:, 2])) + _positive(x[:, 3] + x[:, 4]),
        lambda x: x[:, 0] + np.log1p(np.exp(x[:, 1])),
    ),
    "C": (
        lambda x: 1 / (1 + np.exp(x[:, 1] + x[:, 2])),
        lambda x: 2 * np.log1p(np.exp(x[:, 0] + x[:, 1] + x[:, 2])),
        lambda x: np.ones(len(x)),
    ),
    "D": (
        lambda x: 1 / (1 + np.exp(-x[:, 0]) + np.exp(-x[:, 1])),
        lambda x: (_positive(x[:, :3].sum(axis=1)) + _positive(x[:, 3] + x[:, 4])) / 2,
        lambda x: _positive(x[:, :3].sum(axis=1)) - _positive(x[:, 3] + x[:, 4]),
    ),
}


def drawn(setup: str, rows: int, seed: int) -> tuple[Doubles, npt.NDArray[np.int64], Doubles, Doubles]:
    """x, the arm, the outcome and the true effects (rows × offers)."""
    draws = np.random.default_rng([seed, "ABCDarms".index(setup)])
    x = draws.uniform(size=(rows, NUMBERS)) if setup == "A" else draws.standard_normal((rows, NUMBERS))
    chance, baseline, effect = SETUPS["B" if setup == "arms" else setup]
    tau = effect(x)
    if setup == "arms":
        effects = np.column_stack([np.zeros(rows), tau / 2, tau, _positive(x[:, 0]), np.full(rows, -0.2)])
        arm = draws.choice(len(SHARES), rows, p=SHARES)
        given = effects[np.arange(rows), arm]
        effects = effects[:, 1:]
    else:
        arm = (draws.uniform(size=rows) < chance(x)).astype(np.int64)
        effects, given = tau[:, None], (arm - 0.5) * tau
    return x, arm, baseline(x) + given + draws.standard_normal(rows), effects


def write(setup: str, rows: int, seed: int, folder: Path) -> None:
    """Data as Parquet, a part of so many rows at a time: `learn` (x0, …, arm, y), and `judge` with the effects."""
    for name, number, of in (("learn", rows, 2 * seed), ("judge", JUDGED, 2 * seed + 1)):
        (folder / name).mkdir(parents=True, exist_ok=True)
        for part, begin in enumerate(range(0, number, PART)):
            x, arm, y, effects = drawn(setup, min(PART, number - begin), of * 1000 + part)
            columns = {f"x{n}": x[:, n] for n in range(NUMBERS)} | {"arm": arm.astype(np.int32), "y": y}
            columns |= {f"tau{n}": effects[:, n] for n in range(effects.shape[1])} if name == "judge" else {}
            pq.write_table(pa.table(columns), folder / name / f"{part:04}.parquet")


def read(spark: SparkSession, folder: Path) -> DataFrame:
    """Rows as learners take them, in few partitions."""
    rows = spark.read.parquet(str(folder))
    x = F.array(*[f"x{n}" for n in range(NUMBERS)])
    key = F.xxhash64("x0", "x1", "x2")  # each row is a user of its own
    return rows.select(x.alias(learners.X), "arm", "y", fold(1, "fold", FOLDS, key).alias(learners.FOLD))


def ours(setup: str, folder: Path) -> tuple[dict[str, Doubles], dict[str, float]]:
    """The effects by each learner on the rows that judge, and its seconds; nuisances stand by themselves."""
    spark = open_session(load_settings(["local"], [], env={}).spark)
    regressor = SparkXGBRegressor(
        tree_method="hist", num_workers=1, random_state=1, verbosity=0, min_child_weight=1, **TREES
    )
    bases = learners.Bases(outcome=regressor, effect=regressor)
    arms = learners.Arms(len(SHARES) - 1 if setup == "arms" else 1)
    begun = time.monotonic()
    rows = learners.checked(read(spark, folder / "learn"), arms, folds=FOLDS)
    judge = read(spark, folder / "judge").select(learners.X).coalesce(1)
    if setup in TRIALS:
        known = learners.with_shares(rows, arms)
    else:
        chances = learners.Chances.of(rows, LogisticRegression(regParam=1e-5), folds=FOLDS)
        known, judge = chances.crossed(rows), chances.add(judge).cache()
    given = learners.with_means(known, bases, arms, folds=FOLDS).cache()
    given.count()
    seconds = {"nuisances": time.monotonic() - begun}
    effects: dict[str, Doubles] = {}
    for learner in learners.LEARNERS:
        begun = time.monotonic()
        model = learners.fit_effects(given, learner, bases, arms)
        effects[learner] = np.array([row[0] for row in model.predict(judge).select(learners.EFFECTS).collect()])
        seconds[learner] = time.monotonic() - begun
    given.unpersist()
    return effects, seconds


def qini(order: Doubles, effects: Doubles) -> float:
    """∫ (Q(φ) − φ·ATE) dφ of an order by true effects; no ties to speak of."""
    gains = np.cumsum(effects[np.argsort(-order, kind="stable")]) / len(effects)
    return float(np.mean(gains) - gains[-1] / 2)


def judged(found: dict[str, Doubles], truth: Doubles) -> dict[str, dict[str, float]]:
    """Error and share of Qini of each learner."""
    differ = [n for n in range(truth.shape[1]) if truth[:, n].std() > 1e-9]
    return {
        learner: {
            "rmse": float(np.sqrt(np.mean((effects - truth) ** 2))),
            **(
                {
                    "qini": float(
                        np.mean([qini(effects[:, n], truth[:, n]) / qini(truth[:, n], truth[:, n]) for n in differ])
                    )
                }
                if differ
                else {}
            ),
        }
        for learner, effects in found.items()
    }


def run_ours(chosen: argparse.Namespace, place: Path) -> None:
    """Makes the data and runs our learners on all of them; leaves errors and seconds."""
    answer = {}
    for setup in chosen.setups:
        for seed in range(chosen.seeds):
            folder = place / f"{setup}-{chosen.rows}-{seed}"
            if not (folder / "judge").exists():
                write(setup, chosen.rows, seed, folder)
            found, seconds = ours(setup, folder)
            answer[f"{setup} {seed}"] = {"judged": judged(found, truth_of(folder)), "seconds": seconds}
            sys.stderr.write(f"{setup} {seed} {json.dumps(answer[f'{setup} {seed}'])}\n")
    answer_of(chosen.dir).write_text(json.dumps(answer), encoding="utf-8")


def truth_of(folder: Path) -> Doubles:
    """The effects on the rows that judge."""
    table = pq.read_table(folder / "judge")
    return np.column_stack([table[name].to_numpy() for name in table.column_names if name.startswith("tau")])


def run_peer(chosen: argparse.Namespace, place: Path) -> dict[str, Any]:
    """Econml's learners on the same data, in a Python of their own."""
    answer = {}
    for setup in chosen.setups:
        for seed in range(chosen.seeds):
            folder = place / f"{setup}-{chosen.rows}-{seed}"
            settings = {"trial": setup in TRIALS, "folds": FOLDS, "trees": TREES, "numbers": NUMBERS}
            script = str(Path(__file__).with_name("_effects_peer.py"))
            subprocess.run([chosen.peer, script, str(folder), json.dumps(settings)], check=True)
            told = json.loads((folder / "peer.json").read_text(encoding="utf-8"))
            table = pq.read_table(folder / "peer.parquet")
            found = {name: np.array(table[name].to_pylist()) for name in table.column_names}
            answer[f"{setup} {seed}"] = {"judged": judged(found, truth_of(folder)), "seconds": told}
            sys.stderr.write(f"{setup} {seed} {json.dumps(answer[f'{setup} {seed}'])}\n")
    return answer


def together(chosen: argparse.Namespace, mine: dict[str, Any], theirs: dict[str, Any]) -> list[dict[str, Any]]:
    """A row for each set-up and learner: means over seeds."""
    rows = []
    for setup in chosen.setups:
        runs = [f"{setup} {seed}" for seed in range(chosen.seeds)]
        for learner in learners.LEARNERS:
            row: dict[str, Any] = {"setup": setup, "learner": learner}
            for side, answer in (("ours", mine), ("econml", theirs)):
                there = [answer[run] for run in runs if learner in answer.get(run, {}).get("judged", {})]
                for name in ("rmse", "qini"):
                    values = [run["judged"][learner][name] for run in there if name in run["judged"][learner]]
                    row[f"{side}_{name}"] = round(float(np.mean(values)), 4) if values else None
                times = [run["seconds"][learner] for run in there]
                row[f"{side}_seconds"] = round(float(np.mean(times)), 1) if times else None
            row["ours_nuisances"] = round(float(np.mean([mine[run]["seconds"]["nuisances"] for run in runs])), 1)
            pairs = [
                mine[run]["judged"][learner]["rmse"] / theirs[run]["judged"][learner]["rmse"]
                for run in runs
                if learner in theirs.get(run, {}).get("judged", {})
            ]
            if pairs:
                spread = 1.96 * float(np.std(pairs, ddof=1)) / len(pairs) ** 0.5 if len(pairs) > 1 else float("nan")
                mean = float(np.mean(pairs))
                row["ratio"] = [round(value, 3) for value in (mean, mean - spread, mean + spread)]
            rows.append(row)
    return rows


def main() -> None:
    """Runs ours, then econml's, and sets them side by side."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dir", type=Path, required=True)
    parser.add_argument("--peer", help="a Python with econml")
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--setups", nargs="+", choices=[*SETUPS, "arms"], default=[*SETUPS, "arms"])
    parser.add_argument("--side", choices=["ours"], help=argparse.SUPPRESS)
    parser.add_argument("--json", action="store_true", help="print one JSON line")
    chosen = parser.parse_args()
    place = (chosen.dir / "effects").absolute()
    place.mkdir(parents=True, exist_ok=True)
    if chosen.side:
        run_ours(chosen, place)
        return
    mine, peak = watch_side(__file__, "ours", chosen.dir)
    theirs = run_peer(chosen, place) if chosen.peer else {}
    rows = together(chosen, mine, theirs)
    answer = {"rows": chosen.rows, "seeds": chosen.seeds, "ours_peak_mb": peak, "learners": rows}
    if chosen.json:
        sys.stdout.write(json.dumps(answer) + "\n")
    else:
        for row in rows:
            sys.stdout.write("  ".join(f"{name} {value}" for name, value in row.items() if value is not None) + "\n")
        sys.stdout.write(f"rows {chosen.rows}, ours at most {peak} MB\n")
    worse = [row for row in rows if "ratio" in row and row["ours_rmse"] > LIMIT * row["econml_rmse"]]
    sys.exit(1 if worse else 0)


if __name__ == "__main__":
    main()
