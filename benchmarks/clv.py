"""How long customers' value takes: BG/NBD and gamma-gamma fitted to and scored for a million simulated customers.

    .venv/bin/python benchmarks/clv.py [--users 1000000] [--json]

The customers follow both models with known parameters, over two years. Prints seconds, rows that came to the driver,
how far the parameters are from the true ones, and the largest memory of all processes together.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
from _watch import watch_command
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from offerlake.config import load_settings
from offerlake.session import open_session
from offerlake.value.clv import fit, score
from offerlake.value.histories import histories

DAYS = 728
TRUE = {"r": 0.5, "alpha": 6.0, "a": 0.8, "b": 3.0, "p": 4.0, "q": 5.0, "v": 40.0}  # times in weeks


def customers(spark: SparkSession, users: int) -> DataFrame:
    """Purchase histories as `histories.summary` gives them, a seed a batch."""

    def drawn(batches: Iterator[pd.DataFrame]) -> Iterator[pd.DataFrame]:
        for batch in batches:
            random, size = np.random.default_rng(int(batch["id"].iloc[0])), len(batch)
            rate, leaves = random.gamma(TRUE["r"], 1 / TRUE["alpha"] / 7, size), random.beta(TRUE["a"], TRUE["b"], size)
            age = random.integers(1, DAYS + 1, size)
            clock, alive = np.zeros(size), np.ones(size, dtype=bool)
            x, recency = np.zeros(size, dtype=int), np.zeros(size, dtype=int)
            while alive.any():
                clock = clock + random.exponential(1 / np.maximum(rate, 1e-12))
                alive &= clock < age
                # Two purchases on one day are one.
                counts = alive & (clock.astype(int) > recency)
                x, recency = x + counts, np.where(counts, clock.astype(int), recency)
                alive &= ~(counts & (random.uniform(size=size) < leaves))
            scale = 1 / random.gamma(TRUE["q"], 1 / TRUE["v"], size)
            mean = random.gamma(TRUE["p"] * np.maximum(x, 1), scale) / np.maximum(x, 1)
            yield pd.DataFrame(
                {"frequency": x, "recency_days": recency, "age_days": age, "monetary": np.where(x > 0, mean, np.nan)}
            )

    kinds = "frequency int, recency_days int, age_days int, monetary double"
    made = spark.range(users).mapInPandas(drawn, kinds)
    return made.withColumn("monetary", F.when(F.col("frequency") > 0, F.col("monetary")))


def measured(users: int) -> dict[str, float]:
    """The seconds of each part, and what was found."""
    settings = load_settings(["local"])
    spark = open_session(settings.spark, app="benchmark")
    people = customers(spark, users).cache()
    people.count()
    begun = time.monotonic()
    model = fit(people, most=settings.clv.max_groups)
    fitted = time.monotonic()
    assert model is not None
    total = score(people, model, settings=settings.clv).agg(F.sum("clv"), F.sum("next_purchases")).collect()[0]
    scored = time.monotonic()
    rows, _ = histories(people, most=settings.clv.max_groups)
    off = {f"{name}_off": abs(value / TRUE[name] - 1) for name, (value, _) in model.parameters.items()}
    return {
        "users": users,
        "fit_seconds": fitted - begun,
        "score_seconds": scored - fitted,
        "histories": len(rows.customers),
        "grain_days": model.grain_days,
        "clv": float(total[0]) / users,
        **off,
    }


def main() -> None:
    """Runs itself under watch, and prints."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--users", type=int, default=1_000_000)
    parser.add_argument("--dir", type=Path, help="where the answer goes for the time being")
    parser.add_argument("--json", action="store_true", help="print one JSON line")
    parser.add_argument("--answer", type=Path, help=argparse.SUPPRESS)  # of the process that is watched
    options = parser.parse_args()
    if options.answer is not None:
        options.answer.write_text(json.dumps(measured(options.users)), encoding="utf-8")
        return
    if options.dir is not None:
        options.dir.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=options.dir and options.dir.resolve()) as root:
        answer = Path(root, "answer.json")
        taken = watch_command([sys.executable, __file__, "--users", str(options.users), "--answer", str(answer)])
        found = json.loads(answer.read_text(encoding="utf-8")) | {"peak_mb": taken.peak_mb}
    if options.json:
        print(json.dumps({name: round(value, 4) for name, value in found.items()}))
        return
    print(f"{found['users']:,} customers, {found['histories']:,} histories by {found['grain_days']} days")
    print(f"fit {found['fit_seconds']:.1f} s, score {found['score_seconds']:.1f} s, peak {found['peak_mb']:,} MB")
    off = ", ".join(f"{name} {found[f'{name}_off']:.1%}" for name in TRUE)
    print(f"off the true parameters: {off}")


if __name__ == "__main__":
    main()
