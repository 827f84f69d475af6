"""The two engines of the response model on the same rows: Spark ML's boosting and xgboost.spark.

    .venv/bin/python benchmarks/gbt.py --dir out/bench [--rows 400000] [--features 40] [--repeats 3] [--json]

Rows are normal numbers; log odds have main effects, products and a step, and one row in twenty or so has label 1. Both
engines are those of `response.engine`, with the settings of conf/base.yaml (`--trees` for other numbers of them), and
learn from the same cached rows; the logistic regression, the baseline, stands beside them. Prints the median seconds of
a fit after a warm-up on a tenth of the rows, and AUC and log loss on 100,000 rows that nobody has seen, beside those of
the true probabilities.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from pyspark.ml.functions import array_to_vector
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from offerlake.accuracy import accuracy
from offerlake.config import load_settings
from offerlake.response.features import VECTOR
from offerlake.response.models import BASELINE, LABEL, WEIGHT, Engine, chance, estimator
from offerlake.session import open_session

JUDGED = 100_000


def odds(x: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """The true log odds."""
    main = 0.5 * x[:, 0] - 0.4 * x[:, 1] + 0.3 * np.tanh(x[:, 2])
    return -3.6 + main + 0.5 * x[:, 3] * x[:, 4] + 0.8 * (x[:, 5] > 1) + 0.3 * x[:, 6] * (x[:, 7] > 0)


def made(spark: SparkSession, rows: int, features: int, *, seed: int) -> DataFrame:
    """id, vector, label, weight and the true probability."""

    def drawn(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for batch in batches:
            ids = batch["id"].to_numpy()
            draws = np.random.default_rng([seed, int(ids[0])])
            x = draws.standard_normal((len(ids), features))
            p = 1 / (1 + np.exp(-odds(x)))
            y = (draws.uniform(size=len(ids)) < p).astype(np.float64)
            ends = np.arange(0, x.size + 1, features, dtype=np.int32)
            columns = [pa.array(ids), pa.ListArray.from_arrays(ends, pa.array(x.ravel())), pa.array(y), pa.array(p)]
            yield pa.RecordBatch.from_arrays(columns, names=["id", "x", LABEL, "true"])

    found = spark.range(rows, numPartitions=2).mapInArrow(
        drawn, f"id bigint, x array<double>, {LABEL} double, true double"
    )
    return found.select(
        F.col("id").cast("string").alias("user_id"), array_to_vector(F.col("x")).alias(VECTOR), LABEL,
        F.lit(1.0).alias(WEIGHT), "true",
    )  # fmt: skip


def main() -> None:
    """Fits and judges each."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dir", type=Path, help="not used: nothing is kept")
    parser.add_argument("--rows", type=int, default=400_000)
    parser.add_argument("--features", type=int, default=40)
    parser.add_argument("--trees", type=int)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--json", action="store_true", help="print one JSON line")
    chosen = parser.parse_args()
    settings = load_settings(["local"], [], env={})
    response = settings.response
    if chosen.trees:
        response = response.model_copy(update={"trees": chosen.trees})
    spark = open_session(settings.spark)
    teach, judge = (
        made(spark, rows, chosen.features, seed=seed).cache() for rows, seed in ((chosen.rows, 1), (JUDGED, 2))
    )
    teach.count()
    few = teach.where(F.rand(3) < 0.1)
    best = accuracy(judge, probability="true", label=LABEL, seed=1)
    answer: dict[str, Any] = {
        "rows": chosen.rows, "features": chosen.features, "trees": response.trees, "depth": response.depth,
        "truth": {"auc": round(best.auc or 0, 4), "log_loss": round(best.log_loss or 0, 5)},
    }  # fmt: skip
    engines: tuple[Engine, ...] = ("gbt", "xgboost", BASELINE)
    for engine in engines:
        unfitted = estimator(engine, response, rows=float(chosen.rows), seed=1)
        unfitted.fit(few)
        seconds = []
        for _ in range(chosen.repeats):
            begun = time.monotonic()
            model = unfitted.fit(teach)
            seconds.append(time.monotonic() - begun)
        found = accuracy(chance(model, judge, column="p"), probability="p", label=LABEL, seed=1)
        answer[engine] = {
            "seconds": round(statistics.median(seconds), 1),
            "auc": round(found.auc or 0, 4),
            "log_loss": round(found.log_loss or 0, 5),
        }
    if chosen.json:
        sys.stdout.write(json.dumps(answer) + "\n")
    else:
        sys.stdout.writelines(f"{name:10} {value}\n" for name, value in answer.items())


if __name__ == "__main__":
    main()
