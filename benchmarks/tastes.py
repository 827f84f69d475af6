"""The test shop: do the scores of products find again what its users like?

    .venv/bin/python benchmarks/tastes.py --dir out/bench [--users 20000] [--judged 2000] [--json]

Makes the shop and runs the pipeline as far as `train_als`, unless the folder holds that run already. A user's true
utility of a product is the probability that a line of an order of his is of it: his taste for its category, times the
share of its price rank for his price level (docs/simulator.md). Of users drawn from those with factors, prints the mean
over users of Spearman's correlation between that and, over all products, the score of the first stage, uᵀv alone, and
popularity, with 95 % intervals over users (bootstrap); the same over the ten categories, each by the mean of its
products. Ends with exit code 1 where the score does not correlate better than popularity does.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

import numpy as np
import numpy.typing as npt
from pyspark.ml.recommendation import ALSModel
from pyspark.sql import functions as F
from scipy.stats import rankdata

from offerlake import demo, pipeline
from offerlake.artifacts import Artifacts
from offerlake.config import Settings
from offerlake.features.catalogue import known_products
from offerlake.randomness import uniform
from offerlake.recommend.als import user_factors
from offerlake.recommend.baselines import popularity
from offerlake.recommend.blocks import matrix
from offerlake.recommend.topn import catalogue, showable
from offerlake.session import open_session
from offerlake.simulate.catalogue import CATEGORIES, per_category
from offerlake.simulate.traits import LEVELS, steepness, taste
from offerlake.tables import Lake

Doubles = npt.NDArray[np.float64]
SAMPLES = 1000


def scores(lake: Lake, settings: Settings, judged: int) -> tuple[list[str], list[str], dict[str, Doubles]]:
    """Users, products, and how each way scores them: users × products."""
    spark, as_of, ours = lake.spark, settings.demo.as_of, settings.recommend
    model = ALSModel.load(Artifacts(lake).load("als").file("model"))
    before = lake.read("interactions").where(F.col("as_of") == F.lit(as_of))
    popular = popularity(before, as_of=as_of, days=ours.popularity_days, mode=ours.mode)
    shown = showable(known_products(lake.read("products"), as_of=as_of), blocked=())
    listed = catalogue(model.itemFactors, lake.read("product_index"), popular, shown)
    plain = popular.withColumn("appeal", F.lit(1.0))
    alone = catalogue(model.itemFactors, lake.read("product_index"), plain, shown)
    truth = spark.read.parquet(f"{settings.evaluate.truth}/traits").select("user_id")
    order = uniform(settings.run.seed, "judged", F.col("user_id"))
    some = user_factors(model, lake.read("user_index")).join(truth, "user_id", "inner").orderBy(order).limit(judged)
    rows = some.toArrow().sort_by("user_id")
    factors = matrix(rows["features"], len(rows))
    ways = {
        "score": factors @ listed.factors.T,
        "als": factors @ alone.factors.T,
        "popularity": np.tile(listed.popularity, (len(rows), 1)),
    }
    return rows["user_id"].to_pylist(), listed.ids.to_pylist(), {k: v.astype(np.float64) for k, v in ways.items()}


def utilities(lake: Lake, settings: Settings, users: list[str], products: list[str]) -> tuple[Doubles, Doubles]:
    """What is true: users × products, and users × categories."""
    spark, size = lake.spark, per_category(settings.simulate.products)
    number = np.array([int(name[1:]) for name in products])
    category, rank = np.divmod(number, size)
    levels = spark.range(LEVELS).select(steepness(F.col("id")).alias("steepness")).collect()
    inverse = 1 / np.array([row["steepness"] for row in levels])[:, None]
    share = ((rank + 1) / size) ** inverse - (rank / size) ** inverse
    traits = spark.read.parquet(f"{settings.evaluate.truth}/traits")
    wanted = spark.createDataFrame([(user,) for user in users], "user_id string")
    rows = traits.join(wanted, "user_id", "inner").select("user_id", taste().alias("taste"), "price_level")
    told = {row["user_id"]: row for row in rows.collect()}
    tastes = np.array([told[user]["taste"] for user in users])
    level = np.array([told[user]["price_level"] for user in users])
    return tastes[:, category] * share[level], tastes


def correlations(found: Doubles, truth: Doubles) -> Doubles:
    """Spearman's of each row; of a row without differences 0."""
    one, other = (rankdata(values, axis=1) for values in (found, truth))
    one, other = (values - values.mean(axis=1, keepdims=True) for values in (one, other))
    spread = np.sqrt((one**2).sum(axis=1) * (other**2).sum(axis=1))
    result: Doubles = np.divide((one * other).sum(axis=1), spread, out=np.zeros(len(spread)), where=spread > 0)
    return result


def main() -> None:
    """Makes the run where there is none, and judges it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dir", type=Path, required=True)
    parser.add_argument("--users", type=int, default=20_000)
    parser.add_argument("--judged", type=int, default=2_000)
    parser.add_argument("--json", action="store_true", help="print one JSON line")
    chosen = parser.parse_args()
    places = demo.Places.beside(str(chosen.dir / f"tastes-{chosen.users}" / "lake"))
    places.lake.parent.mkdir(parents=True, exist_ok=True)
    settings = demo.demo_settings("shop", places, users=chosen.users)
    spark = open_session(settings.spark)
    demo.prepare(spark, settings, "shop", places)
    pipeline.run(spark, settings, settings.demo.as_of, part=pipeline.select(pipeline.load_jobs(), last="train_als"))
    lake = Lake(spark, settings.run.lake)
    users, products, ways = scores(lake, settings, chosen.judged)
    truth, tastes = utilities(lake, settings, users, products)
    category = np.array([int(name[1:]) for name in products]) // per_category(settings.simulate.products)
    member = (category[:, None] == np.arange(len(CATEGORIES))) / np.bincount(category, minlength=len(CATEGORIES))
    draws = np.random.default_rng(settings.run.seed).poisson(1, (SAMPLES, len(users)))
    answer: dict[str, object] = {"users": len(users), "products": len(products)}
    means = {}
    for name, found in ways.items():
        for what, each in (
            ("products", correlations(found, truth)),
            ("categories", correlations(found @ member, tastes)),
        ):
            low, high = np.quantile((draws @ each) / draws.sum(axis=1), [0.025, 0.975])
            means[name, what] = float(each.mean())
            answer[f"{name}_{what}"] = [round(x, 3) for x in (float(each.mean()), float(low), float(high))]
    if chosen.json:
        sys.stdout.write(json.dumps(answer) + "\n")
    else:
        for name, value in answer.items():
            sys.stdout.write(f"{name:22} {value}\n")
    better = all(means["score", what] > means["popularity", what] for what in ("products", "categories"))
    sys.exit(0 if better else 1)


if __name__ == "__main__":
    main()
