"""Shapley values of a boosted ensemble of Spark ML: how long a million rows take, and that they add up.

    .venv/bin/python benchmarks/explain.py --dir out/bench [--rows 1000000] [--trees 100] [--features 40] [--json]

Fits `GBTRegressor` on 20,000 rows of normal numbers with an interaction, saves it, and explains as many new rows as are
asked for, in Arrow batches: `Trees.explain` in each task. Prints the seconds, the largest memory of all processes, and
the largest difference between the sum of a row's values and its prediction; ends with exit code 1 where that is not 0.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
from _watch import answer_of, watch_side
from pyspark.ml.linalg import Vectors
from pyspark.ml.regression import GBTRegressionModel, GBTRegressor
from pyspark.sql import SparkSession
from pyspark.sql import functions as F

from offerlake.config import load_settings
from offerlake.response.shap import read_trees
from offerlake.session import open_session

LEARNT, CHECKED = 20_000, 1_000


def made(rows: int, features: int, *, seed: int) -> np.ndarray:
    """Normal numbers, rows × features."""
    return np.random.default_rng(seed).standard_normal((rows, features))


def fit(spark: SparkSession, chosen: argparse.Namespace, place: Path) -> None:
    """Fits and saves the ensemble, unless it is there."""
    if (place / "metadata").exists():
        return
    x = made(LEARNT, chosen.features, seed=1)
    y = x[:, 0] * x[:, 1] + np.maximum(x[:, 2], 0) + 0.3 * x[:, 3:10].sum(axis=1) + made(LEARNT, 1, seed=2)[:, 0]
    rows = [(Vectors.dense(row), float(label)) for row, label in zip(x.tolist(), y, strict=True)]
    frame = spark.createDataFrame(rows, ["features", "label"]).cache()
    model = GBTRegressor(maxIter=chosen.trees, maxDepth=chosen.depth, cacheNodeIds=True, seed=1).fit(frame)
    model.write().overwrite().save(str(place))


def run(chosen: argparse.Namespace) -> dict[str, float]:
    """Explains the rows: seconds, leaves, and how far the values are from adding up."""
    spark = open_session(load_settings(["local"], [], env={}).spark)
    place = (chosen.dir / f"explain-{chosen.trees}-{chosen.depth}-{chosen.features}").absolute()
    fit(spark, chosen, place)
    trees = read_trees(spark, str(place))
    shared, features = spark.sparkContext.broadcast(trees), chosen.features

    def explain(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for batch in batches:
            found = shared.value.explain(made(len(batch), features, seed=int(batch["id"][0].as_py()) + 3))
            sums = pa.array(np.abs(found).sum(axis=1))
            yield pa.RecordBatch.from_arrays([sums], names=["size"])

    begun = time.monotonic()
    spark.range(chosen.rows, numPartitions=4).mapInArrow(explain, "size double").agg(F.sum("size")).collect()
    seconds = time.monotonic() - begun
    x = made(CHECKED, features, seed=9)
    told = spark.createDataFrame([(Vectors.dense(row),) for row in x.tolist()], ["features"])
    said = np.array(
        [row[0] for row in GBTRegressionModel.load(str(place)).transform(told).select("prediction").collect()]
    )
    apart = float(np.abs(trees.base + trees.explain(x).sum(axis=1) - said).max())
    return {"seconds": round(seconds, 1), "leaves": len(trees.paths), "apart": apart}


def main() -> None:
    """Runs it in a process of its own, whose memory is watched."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, value in {"rows": 1_000_000, "trees": 100, "features": 40, "depth": 5}.items():
        parser.add_argument(f"--{name}", type=int, default=value)
    parser.add_argument("--dir", type=Path, required=True)
    parser.add_argument("--side", choices=["run"], help=argparse.SUPPRESS)
    parser.add_argument("--json", action="store_true", help="print one JSON line")
    chosen = parser.parse_args()
    chosen.dir.mkdir(parents=True, exist_ok=True)
    if chosen.side:
        answer_of(chosen.dir).write_text(json.dumps(run(chosen)), encoding="utf-8")
        return
    found, peak = watch_side(__file__, "run", chosen.dir)
    found |= {"peak_mb": peak} | {name: getattr(chosen, name) for name in ("rows", "trees", "features", "depth")}
    if chosen.json:
        sys.stdout.write(json.dumps(found) + "\n")
    else:
        for name, value in found.items():
            sys.stdout.write(f"{name:10} {value}\n")
    sys.exit(0 if found["apart"] < 1e-6 else 1)


if __name__ == "__main__":
    main()
