"""Implicit ALS: `recommend.als.fit` against Spark ML as it comes and against the package `implicit`.

    .venv/bin/python benchmarks/als.py --dir out/bench [--rank 64] [--iterations 10] [--repeats 3] [--json]

The data are The Complete Journey's purchases: a household, a product, and how many times it was bought. All get the
same rank, iterations, alpha and regularisation (Spark ML's is times the number of a row's ratings, that of `implicit`
is not). Each runs in a process of its own. Prints its seconds (medians, after a fit of one iteration), its peak memory,
and two sums over all pairs of household and product: the weighted squared error Σ c·(p − uᵀv)², and the objective that
Spark ML minimises, that with its penalty. Ends with exit code 1 where our objective is more than 1 % above Spark ML's
own.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import scipy.sparse as sp
from _watch import answer_of, plain_session, watch_side
from pyspark.ml.recommendation import ALS, ALSModel
from threadpoolctl import threadpool_limits

from offerlake.config import load_settings
from offerlake.ingest.completejourney import check_installed, read
from offerlake.recommend.als import fit
from offerlake.session import open_session

Matrix = npt.NDArray[np.float64]
THREADS = 2
SIDES = ("ours", "spark", "implicit_cg", "implicit_cholesky")


def purchases() -> sp.csr_matrix:
    """Households × products: how many times it was bought."""
    check_installed()
    lines = read("transactions", ["household_id", "product_id"]).to_pandas()
    users, products = (pd.factorize(lines[name], sort=True)[0] for name in ("household_id", "product_id"))
    matrix = sp.coo_matrix((np.ones(len(lines), dtype=np.float32), (users, products))).tocsr()
    matrix.sum_duplicates()
    return matrix


def objective(weights: sp.csr_matrix, users: Matrix, products: Matrix, *, alpha: float, penalty: float) -> Matrix:
    """Σ c·(p − uᵀv)² over all pairs with c = 1 + α·weight and p = 1 where there is a weight; and with the penalty.

    The sum over the pairs without a weight is that over all, tr(UᵀU VᵀV), less that over the others.
    """
    found = weights.tocoo()
    score = np.einsum("ij,ij->i", users[found.row], products[found.col])
    error = ((users.T @ users) * (products.T @ products)).sum()
    error += ((1 + alpha * found.data) * (1 - score) ** 2 - score**2).sum()
    sides = ((users, np.diff(weights.indptr)), (products, np.bincount(weights.indices, minlength=len(products))))
    return np.array([error, error + penalty * sum((count * (rows**2).sum(axis=1)).sum() for rows, count in sides)])


def factors_of(model: ALSModel, shape: tuple[int, int]) -> tuple[Matrix, Matrix]:
    """The factors of a Spark model as matrices; 0 where there are none."""
    sides = []
    for frame, rows in zip((model.userFactors, model.itemFactors), shape, strict=True):
        told = frame.toPandas()
        matrix = np.zeros((rows, model.rank))
        matrix[told["id"].to_numpy()] = np.stack([*told["features"]])
        sides.append(matrix)
    return sides[0], sides[1]


def timed(make: Callable[[int], Any], *, iterations: int, repeats: int) -> tuple[float, Any]:
    """Median seconds, and what the last fit made."""
    make(1)
    seconds, made = [], None
    for _ in range(repeats):
        begun = time.monotonic()
        made = make(iterations)
        seconds.append(time.monotonic() - begun)
    return statistics.median(seconds), made


def spark_side(name: str, weights: sp.csr_matrix, chosen: argparse.Namespace) -> tuple[float, Matrix, Matrix]:
    """Our call in our session (`ours`), or Spark ML with what it has by itself in Spark's: seconds and factors."""
    settings = load_settings(["local"], [], env={})
    spark = open_session(settings.spark) if name == "ours" else plain_session()
    rated = spark.read.parquet(str(chosen.dir.absolute() / "als.parquet"))

    def make(iterations: int) -> ALSModel:
        if name == "ours":
            told = {"rank": chosen.rank, "iterations": iterations, "alpha": chosen.alpha}
            recommend = settings.recommend.model_copy(update={**told, "regularisation": chosen.penalty})
            return fit(rated, settings=recommend, seed=7)
        als = ALS(
            rank=chosen.rank,
            maxIter=iterations,
            alpha=chosen.alpha,
            regParam=chosen.penalty,
            implicitPrefs=True,
            seed=7,
            userCol="user",
            itemCol="product",
            ratingCol="weight",
        )
        return als.fit(rated)

    seconds, model = timed(make, iterations=chosen.iterations, repeats=chosen.repeats)
    return seconds, *factors_of(model, weights.shape)


def implicit_side(name: str, weights: sp.csr_matrix, chosen: argparse.Namespace) -> tuple[float, Matrix, Matrix]:
    """`implicit`, by conjugate gradients (`implicit_cg`) or by Cholesky: seconds and factors."""
    from implicit.cpu.als import AlternatingLeastSquares

    def make(iterations: int) -> Any:
        model = AlternatingLeastSquares(
            factors=chosen.rank,
            regularization=chosen.penalty,
            alpha=chosen.alpha,
            iterations=iterations,
            use_cg=name == "implicit_cg",
            num_threads=THREADS,
            random_state=7,
        )
        with threadpool_limits(1, "blas"):  # it has threads of its own
            model.fit(weights, show_progress=False)
        return model

    seconds, model = timed(make, iterations=chosen.iterations, repeats=chosen.repeats)
    users, products = (np.asarray(side, dtype=np.float64) for side in (model.user_factors, model.item_factors))
    return seconds, users, products


def run_side(name: str, chosen: argparse.Namespace) -> dict[str, float]:
    """Runs one side in this process."""
    weights = purchases()
    seconds, users, products = (spark_side if name in ("ours", "spark") else implicit_side)(name, weights, chosen)
    sums = objective(weights, users, products, alpha=chosen.alpha, penalty=chosen.penalty)
    return {"seconds": round(seconds, 2), "error": round(float(sums[0])), "objective": round(float(sums[1]))}


def main() -> None:
    """Runs all sides one after the other."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, value in {"rank": 64, "iterations": 10, "repeats": 3}.items():
        parser.add_argument(f"--{name}", type=int, default=value)
    parser.add_argument("--alpha", type=float, default=1.0)
    parser.add_argument("--penalty", type=float, default=0.05)
    parser.add_argument("--dir", type=Path, required=True, help="where the data go as Parquet")
    parser.add_argument("--side", choices=SIDES, help=argparse.SUPPRESS)
    parser.add_argument("--json", action="store_true", help="print one JSON line")
    chosen = parser.parse_args()
    if chosen.side:
        answer_of(chosen.dir).write_text(json.dumps(run_side(chosen.side, chosen)), encoding="utf-8")
        return
    weights = purchases()
    chosen.dir.mkdir(parents=True, exist_ok=True)
    told = weights.tocoo()
    columns = {"user": told.row, "product": told.col, "weight": told.data}
    pd.DataFrame(columns).to_parquet(chosen.dir / "als.parquet", index=False)
    found: dict[str, dict[str, float]] = {}
    for name in SIDES:
        answer, megabytes = watch_side(__file__, name, chosen.dir)
        found[name] = {**answer, "peak_mb": megabytes}
    ratio = round(found["ours"]["seconds"] / found["implicit_cg"]["seconds"], 2)
    sizes = {"interactions": int(weights.nnz), "users": weights.shape[0], "products": weights.shape[1]}
    sizes |= {name: getattr(chosen, name) for name in ("rank", "iterations", "repeats")}
    if chosen.json:
        sys.stdout.write(json.dumps({**found, "ratio": ratio, **sizes}) + "\n")
    else:
        for name, values in found.items():
            sys.stdout.write(f"{name:18} " + ", ".join(f"{key} {value:,}" for key, value in values.items()) + "\n")
        sys.stdout.write(f"ours / implicit_cg {ratio}; {sizes}\n")
    sys.exit(0 if found["ours"]["objective"] <= 1.01 * found["spark"]["objective"] else 1)


if __name__ == "__main__":
    main()
