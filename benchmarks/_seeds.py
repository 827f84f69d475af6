"""Demos of several seeds in one session; a seed that has run to its end is only read."""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pyspark.sql import functions as F

from offerlake import demo
from offerlake.config import Settings
from offerlake.ledger import PIPELINE, run_id_of
from offerlake.session import open_session
from offerlake.tables import Lake


@dataclass(frozen=True)
class Seed:
    """A finished demo: its settings, where things lie, its tables, its run and the run's metrics."""

    settings: Settings
    places: demo.Places
    lake: Lake
    run_id: str
    metrics: dict[str, Any]


def options(description: str, *, seeds: int, users: int) -> argparse.Namespace:
    """The options that all these scripts have, parsed."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=seeds)
    parser.add_argument("--users", type=int, default=users)
    parser.add_argument("--dir", type=Path, required=True, help="where they go; a seed that is there goes on")
    parser.add_argument("--set", action="append", default=[], dest="sets", metavar="A.B=VALUE")
    parser.add_argument("--json", action="store_true", help="print one JSON line")
    return parser.parse_args()


def finished(seed: int, name: str, chosen: argparse.Namespace, *sets: str) -> Seed:
    """The demo of a seed in the folder `<dir>/<name><seed>`, run unless it has been.

    Without the deep model, customer value and segments: they have no part in the assignment.
    """
    places = demo.Places.beside(str(chosen.dir / f"{name}{seed}" / "lake"))
    places.lake.parent.mkdir(parents=True, exist_ok=True)
    own = ["deep.enabled=false", "clv.enabled=false", "segments.enabled=false", *sets, *chosen.sets]
    settings = demo.demo_settings("shop", places, users=chosen.users, seed=seed, sets=own)
    spark = open_session(settings.spark)
    lake = Lake(spark, settings.run.lake)
    run_id = run_id_of(settings, settings.demo.as_of)
    ended = (F.col("run_id") == run_id) & (F.col("job") == PIPELINE) & (F.col("event") == "finish")
    if not lake.exists("runs") or lake.read("runs").where(ended).isEmpty():
        demo.prepare(spark, settings, "shop", places)
        run_id = demo.run(spark, settings)
    return Seed(settings, places, lake, run_id, demo.results(spark, settings, run_id)["metrics"])
