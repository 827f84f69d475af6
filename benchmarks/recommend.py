"""The Complete Journey, last four weeks held out: is what is recommended better than what anybody would think of?

    .venv/bin/python benchmarks/recommend.py --dir out/bench [--set recommend.rank=32] [--json]

Runs the pipeline as far as it is needed, then makes lists of 100 products as of four weeks before the end, in both
modes. `full` is what the stage would have shown: with the weight of own purchases that the four weeks before chose, and
with its second stage where one that was learnt on the four weeks before those was shown to be better on them. `trees`
are the lists with the second stage, used or not, `first` those without (as `train_als` judges them: with the weight of
own purchases that the other half of the households chose), `als` the scores uᵀv alone, `popular` the products of the
last four weeks, `popular_ever` those of all time, `own` what the household bought most often. Prints each claim as a
paired difference of means over households with its 95 % interval, and ends with exit code 1 where one that is claimed
includes 0.
"""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from offerlake import demo, pipeline
from offerlake.config import Settings
from offerlake.evaluate.bootstrap import poisson_means
from offerlake.evaluate.ranking import per_user
from offerlake.evaluate.selection import Chosen, choose
from offerlake.features.catalogue import known_products
from offerlake.holdout import Holdout
from offerlake.recommend.baselines import popularity
from offerlake.recommend.blocks import Rule
from offerlake.recommend.judged import contenders
from offerlake.recommend.topn import catalogue, showable
from offerlake.session import open_session
from offerlake.tables import Lake

HOLDOUT, N, SAMPLES, EVER = 28, 100, 1000, 100_000
CLAIMS = {
    "replenish": [
        ("full", "own", "ndcg@10"),
        ("full", "own", "recall@10"),
        ("trees", "first", "ndcg@10"),  # stated, not claimed
    ],
    "discover": [
        ("full", "popular", "ndcg@10"),
        ("trees", "first", "ndcg@10"),  # stated
        ("als", "popular", "recall@100"),
        ("als", "popular_ever", "ndcg@10"),
        ("als", "popular", "ndcg@10"),  # stated
    ],
}
STATED = {("als", "popular", "ndcg@10"), ("trees", "first", "ndcg@10")}


def judged_ways(lake: Lake, settings: Settings, mode: str) -> dict[str, DataFrame]:
    """The metrics of each household by each way."""
    ours = settings.recommend.model_copy(update={"mode": mode, "n": N})
    last, seed = settings.demo.as_of - timedelta(days=HOLDOUT), settings.run.seed
    windows = []
    for back in (2, 1, 0):
        cut = last - back * timedelta(days=HOLDOUT)
        window = Holdout.of(lake.read, cut=cut, until=cut + timedelta(days=HOLDOUT), settings=ours, seed=seed)
        assert window is not None
        windows.append(window)
    before, earlier, window = windows
    stage, buyers = window.stage, window.buyers

    def judged(ranked: DataFrame, of: Holdout = window) -> DataFrame:
        return per_user(ranked, of.bought, ks=(10, N)).cache()

    def chosen(of: Holdout) -> tuple[Chosen[float], dict[str, DataFrame]]:
        found = contenders(of.buyers, of.stage, settings=ours)
        by_weight = {weight: judged(rows, of) for weight, rows in found.ours.items()}
        return choose(by_weight, metric="ndcg@10", default=ours.own_weights[-1], seed=seed), found.baselines

    first, baselines = chosen(window)
    ways = {"first": first.judged, "popular": judged(baselines["recommend.popularity"])}
    if "recommend.own" in baselines:
        ways["own"] = judged(baselines["recommend.own"])
    rule = Rule.of(ours, own_weight=chosen(earlier)[0].name)
    ways["full"] = judged(stage.recommend(buyers, [rule]).drop("rule"))
    trees = before.learnt(rule, settings=ours.rerank, seed=seed)
    assert trees is not None
    compared = earlier.gained(rule, trees, pool=ours.rerank.pool, ks=(10,)).select("user_id", "gain")
    gain = poisson_means(compared, key="user_id", samples=SAMPLES, seed=seed)[1]["gain"]
    trees = earlier.learnt(rule, settings=ours.rerank, seed=seed)
    assert trees is not None
    ways["trees"] = window.gained(rule, trees, pool=ours.rerank.pool, ks=(10, N)).drop("gain").cache()
    if gain.low is not None and gain.low > 0:
        ways["full"] = ways["trees"]
    sys.stderr.write(f"{mode}: own weight {rule.own_weight}, gain of the trees on the window before {gain}\n")
    plain = replace(rule, mode="discover" if mode == "discover" else "both", own_weight=0.0)
    ever = popularity(stage.scorer.interactions, as_of=last, days=EVER, mode="both")
    shown = showable(known_products(lake.read("products"), as_of=last), blocked=())
    for name, popular in (("als", ever.withColumn("appeal", F.lit(1.0))), ("popular_ever", ever)):
        products = catalogue(stage.model.itemFactors, stage.scorer.product_index, popular, shown)
        of = replace(plain, personal=name == "als")
        other = replace(stage, scorer=replace(stage.scorer, products=products))
        ways[name] = judged(other.recommend(buyers, [of]).drop("rule"))
    return ways


def differences(ways: dict[str, DataFrame], claims: list[tuple[str, str, str]], *, seed: int) -> list[dict[str, Any]]:
    """The means of each claim's two ways, and their paired difference."""
    together = None
    for name, frame in ways.items():
        metrics = [F.col(f"`{x}`").alias(f"{name}.{x}") for x in frame.columns if x != "user_id"]
        told = frame.select("user_id", *metrics)
        together = told if together is None else together.join(told, on="user_id", how="inner")
    assert together is not None
    columns = [F.col(f"`{name}.{metric}`") for name in ways for metric in ("ndcg@10", "recall@10", f"recall@{N}")]
    paired = [
        (F.col(f"`{one}.{metric}`") - F.col(f"`{other}.{metric}`")).alias(f"{one} - {other} {metric}")
        for one, other, metric in claims
    ]
    users, means = poisson_means(
        together.select("user_id", *columns, *paired), key="user_id", samples=SAMPLES, seed=seed
    )
    found = []
    for one, other, metric in claims:
        gap = means[f"{one} - {other} {metric}"]
        found.append(
            {
                "claim": f"{one} > {other}",
                "metric": metric,
                "users": users,
                one: means[f"{one}.{metric}"].value,
                other: means[f"{other}.{metric}"].value,
                "difference": gap.value,
                "low": gap.low,
                "high": gap.high,
                "holds": gap.low is not None and gap.low > 0,
                "claimed": (one, other, metric) not in STATED,
            }
        )
    return found


def main() -> None:
    """Runs both modes."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dir", type=Path, required=True, help="where the lake goes; one that is there is used")
    parser.add_argument("--set", action="append", default=[], dest="sets", metavar="A.B=VALUE")
    parser.add_argument("--json", action="store_true", help="print one JSON line")
    chosen = parser.parse_args()
    places = demo.Places.beside(str(chosen.dir / "recommend" / "lake"))
    places.lake.parent.mkdir(parents=True, exist_ok=True)
    settings = demo.demo_settings("completejourney", places, sets=chosen.sets)
    spark = open_session(settings.spark)
    lake = Lake(spark, settings.run.lake)
    if demo.prepare(spark, settings, "completejourney", places) or not lake.exists("product_index"):
        pipeline.run(
            spark, settings, settings.demo.as_of, part=pipeline.select(pipeline.load_jobs(), last="build_index")
        )
    found: dict[str, list[dict[str, Any]]] = {}
    for mode, claims in CLAIMS.items():
        found[mode] = differences(judged_ways(lake, settings, mode), claims, seed=settings.run.seed)
    if chosen.json:
        sys.stdout.write(json.dumps(found) + "\n")
    else:
        for mode, rows in found.items():
            for row in rows:
                one, other = row["claim"].split(" > ")
                sys.stdout.write(
                    f"{mode:9} {row['metric']:10} {one} {row[one]:.4f}, {other} {row[other]:.4f}: "
                    f"{row['difference']:+.4f} [{row['low']:+.4f}, {row['high']:+.4f}]"
                    f"{'' if row['claimed'] else ' (not claimed)'}\n"
                )
    sys.exit(0 if all(row["holds"] for rows in found.values() for row in rows if row["claimed"]) else 1)


if __name__ == "__main__":
    main()
