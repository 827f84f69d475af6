"""The best products for every user: ours, filters on, against Spark ML's `recommendForAllUsers`, without any.

    .venv/bin/python benchmarks/topn.py --dir out/bench [--users 100000] [--products 20000] [--json]
    .venv/bin/python benchmarks/topn.py --dir out/bench --users 1000000 --products 50000 --repeats 1 --ours

Both read the same factors from Parquet and give up what they found. They are those of a fit of ALS to 20 purchases of
each user (of 100,000 users at most, over whom the others are laid): half of a user's are of the products that people
like him buy, half of all, and in both the nth product sells as n^-0.8. `--normal` takes normal numbers instead: all
products' factors are about equally long then, the worst case for ours. Ours reads the purchases too, and
leaves out what was bought, what is out of the user's prices, and all but ten products of a category. Each side runs in
a process of its own, ours in our session, Spark ML's in Spark's own; first for a hundredth of the users, so that Java
and Python have started, then for all of them, several times: medians. Before that the best of some users without
filters are compared: ends with exit code 1 where they are not the same, or where ours is slower.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
from _watch import answer_of, plain_session, watch_side
from pyspark.ml.recommendation import ALS, ALSModel
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from offerlake.config import load_settings
from offerlake.recommend.als import user_factors
from offerlake.recommend.blocks import Rule
from offerlake.recommend.topn import Scorer, catalogue
from offerlake.session import open_session

BOUGHT, CATEGORIES, PER_CATEGORY = 20, 40, 10
FITTED, ITERATIONS, ALIKE, STEEPNESS = 100_000, 3, 50, 0.8
BAND = (0.2, 5.0)
COMPARED = 500


def factors(spark: SparkSession, rows: int, rank: int, *, seed: int) -> DataFrame:
    """Id and features (float), normal, each drawn by its id's batch."""

    def drawn(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for batch in batches:
            ids = batch["id"].to_numpy()
            made = np.random.default_rng([seed, int(ids[0])]).standard_normal((len(ids), rank), dtype=np.float32)
            lists = pa.ListArray.from_arrays(np.arange(0, made.size + 1, rank, dtype=np.int32), made.ravel())
            yield pa.RecordBatch.from_arrays([pa.array(ids, pa.int32()), lists], names=["id", "features"])

    return spark.range(rows, numPartitions=4).mapInArrow(drawn, "id int, features array<float>")


def purchases(spark: SparkSession, users: int, products: int) -> DataFrame:
    """user, item (int): BOUGHT of each user, some of them twice."""
    chances = 1 / np.arange(1, products + 1) ** STEEPNESS
    ends = np.cumsum(chances / chances.sum())
    orders = [np.random.default_rng([3, kind]).permutation(products) for kind in range(ALIKE + 1)]

    def drawn(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for batch in batches:
            user = np.repeat(batch["id"].to_numpy(), BOUGHT)
            draws = np.random.default_rng([4, int(user[0])])
            kind = np.where(draws.random(len(user)) < 0.5, ALIKE, user % ALIKE)
            place = np.minimum(np.searchsorted(ends, draws.random(len(user))), products - 1)
            item = np.stack(orders)[kind, place]
            yield pa.RecordBatch.from_arrays(
                [pa.array(user, pa.int32()), pa.array(item, pa.int32())], names=["user", "item"]
            )

    return spark.range(users, numPartitions=4).mapInArrow(drawn, "user int, item int")


def make(spark: SparkSession, chosen: argparse.Namespace, place: Path) -> None:
    """Writes the model, as Spark ML reads it, and what users bought."""
    bought = str(place / "bought")
    purchases(spark, chosen.users, chosen.products).distinct().select(
        F.col("user").cast("string").alias("user_id"), F.col("item").cast("string").alias("product_id"), "user", "item",
        (F.rand(3) * 6).alias("weight"), F.lit(1).alias("purchases"),
    ).write.mode("overwrite").parquet(bought)  # fmt: skip
    als = ALS(rank=chosen.rank, maxIter=ITERATIONS, implicitPrefs=True, ratingCol="weight", seed=5)
    teaching = spark.read.parquet(bought).where(F.col("user") < (2 if chosen.normal else FITTED))
    model = als.fit(teaching)
    model.write().overwrite().save(str(place / "model"))
    drawn = {name: str(place / "model" / name) for name in ("userFactors", "itemFactors")}
    if chosen.normal:
        for (path, rows), seed in zip(
            ((drawn["userFactors"], chosen.users), (drawn["itemFactors"], chosen.products)), (1, 2), strict=True
        ):
            factors(spark, rows, chosen.rank, seed=seed).write.mode("overwrite").parquet(path)
    elif chosen.users > FITTED:
        others = spark.range(chosen.users).select(
            F.col("id").cast("int").alias("other"), F.expr(f"int(id % {FITTED})").alias("id")
        )
        model.userFactors.join(F.broadcast(others), "id").select(F.col("other").alias("id"), "features").write.mode(
            "overwrite"
        ).parquet(drawn["userFactors"])
    for name, key, rows in (("user_index", "user_id", chosen.users), ("product_index", "product_id", chosen.products)):
        index = spark.range(rows).select(F.col("id").cast("string").alias(key), F.col("id").cast("int").alias("idx"))
        index.write.mode("overwrite").parquet(str(place / name))


def ours(
    spark: SparkSession, chosen: argparse.Namespace, place: Path, *, filters: bool, users: DataFrame | None = None
) -> DataFrame:
    """user_id and items, as the job `recommend` makes them."""
    model = ALSModel.load(str(place / "model"))
    user_index, product_index = (spark.read.parquet(str(place / name)) for name in ("user_index", "product_index"))
    popularity = product_index.select(
        "product_id", F.lit(1).alias("users"), *[F.lit(1.0).alias(name) for name in ("popularity", "appeal")]
    )
    place_of = F.pmod(F.xxhash64("product_id"), F.lit(CATEGORIES))
    price = F.exp(F.pmod(F.xxhash64("product_id", F.lit(1)), F.lit(1000)) / 250)
    shown = product_index.select(
        "product_id", place_of.cast("string").alias("category"), price.cast("double").alias("price")
    )
    rule = Rule(
        n=chosen.n,
        mode="discover" if filters else "both",
        own_weight=0.0,
        block_users=chosen.block,
        per_category=PER_CATEGORY if filters else None,
        price_band=BAND if filters else None,
    )
    scorer = Scorer(
        spark.read.parquet(str(place / "bought")),
        user_factors(model, user_index),
        product_index,
        catalogue(model.itemFactors, product_index, popularity, shown),
    )
    return scorer.recommend(user_index if users is None else users, [rule])


def same(spark: SparkSession, chosen: argparse.Namespace, place: Path) -> float:
    """Share of Spark ML's best products of some users that are among ours, without filters."""
    model = ALSModel.load(str(place / "model"))
    some = spark.range(min(COMPARED, chosen.users)).select(F.col("id").cast("int").alias("user"))
    model.setUserCol("user").setItemCol("item")
    theirs = model.recommendForUserSubset(some, chosen.n).select(
        F.col("user").cast("string").alias("user_id"),
        F.explode(F.col("recommendations.item").cast("array<string>")).alias("item"),
    )
    found = ours(spark, chosen, place, filters=False, users=some.select(F.col("user").cast("string").alias("user_id")))
    mine = found.select("user_id", F.explode("items.product_id").alias("item"))
    return theirs.join(mine, on=["user_id", "item"], how="inner").count() / theirs.count()


def run_side(side: str, chosen: argparse.Namespace, place: Path) -> None:
    """Runs one side in this process, first for a few users; writes its seconds."""
    spark = plain_session() if side == "peer" else open_session(load_settings(["local"], [], env={}).spark)
    if side == "make":
        make(spark, chosen, place)
        answer_of(chosen.dir).write_text(json.dumps(same(spark, chosen, place)), encoding="utf-8")
        return
    few = spark.range(max(1, chosen.users // 100)).select(F.col("id").cast("int").alias("user"))

    def found(*, few_only: bool) -> DataFrame:
        if side == "ours":
            some = few.select(F.col("user").cast("string").alias("user_id")) if few_only else None
            return ours(spark, chosen, place, filters=True, users=some)
        model = ALSModel.load(str(place / "model"))
        return model.recommendForUserSubset(few, chosen.n) if few_only else model.recommendForAllUsers(chosen.n)

    seconds = []
    for number in range(chosen.repeats + 1):
        begun = time.monotonic()
        found(few_only=number == 0).write.format("noop").mode("overwrite").save()
        seconds.append(time.monotonic() - begun)
    answer_of(chosen.dir).write_text(json.dumps(statistics.median(seconds[1:])), encoding="utf-8")


def main() -> None:
    """Runs both sides, one after the other."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, value in {"users": 100_000, "products": 20_000, "rank": 64, "n": 50, "block": 512, "repeats": 3}.items():
        parser.add_argument(f"--{name}", type=int, default=value)
    parser.add_argument("--dir", type=Path, required=True)
    parser.add_argument("--normal", action="store_true", help="factors of normal numbers")
    parser.add_argument("--ours", action="store_true", help="leave Spark ML's own out")
    parser.add_argument("--side", choices=["make", "ours", "peer"], help=argparse.SUPPRESS)
    parser.add_argument("--json", action="store_true", help="print one JSON line")
    chosen = parser.parse_args()
    place = (chosen.dir / "topn").absolute()
    place.mkdir(parents=True, exist_ok=True)
    if chosen.side:
        run_side(chosen.side, chosen, place)
        return

    alike, _ = watch_side(__file__, "make", chosen.dir)
    taken = {name: watch_side(__file__, name, chosen.dir) for name in (["ours"] if chosen.ours else ["ours", "peer"])}
    found: dict[str, float | None] = {name: round(seconds, 2) for name, (seconds, _) in taken.items()}
    found["ratio"] = None if chosen.ours else round(taken["peer"][0] / taken["ours"][0], 2)
    found["same"] = alike
    found |= {f"{name}_peak_mb": megabytes for name, (_, megabytes) in taken.items()}
    sizes = {name: getattr(chosen, name) for name in ("users", "products", "rank", "n", "block", "repeats")}
    if chosen.json:
        sys.stdout.write(json.dumps({**found, **sizes}) + "\n")
    else:
        for name, value in {**found, **sizes}.items():
            sys.stdout.write(f"{name:13} {value}\n")
    slow = found["ratio"] is not None and found["ratio"] < 1
    sys.exit(1 if slow or alike < 0.999 else 0)


if __name__ == "__main__":
    main()
