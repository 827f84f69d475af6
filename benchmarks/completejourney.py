"""The Complete Journey: does the model that validation chose rank the later campaigns' households as it should?

    .venv/bin/python benchmarks/completejourney.py --dir out/bench

Runs the demo on it (a lake that is there goes on), then judges the same model on all campaigns that start on or after
`response.test_from`: those that are finished in the data, as the report has them, and all of them, the unfinished ones
labelled by what was redeemed until the data ends. The finished ones are judged in detail beside a plain logistic
regression on seventeen named numbers (`_journey.py`). Ends with exit code 1 where an AUC is below 0.81, or the plain
regression is better by more than chance.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path
from typing import Any

from _journey import judged
from pyspark.sql import functions as F

from offerlake import demo
from offerlake.accuracy import Accuracy, accuracy
from offerlake.artifacts import Artifacts
from offerlake.config import Settings
from offerlake.features.examples import counts, examples, known_exposures
from offerlake.response.models import ResponseModel
from offerlake.session import open_session
from offerlake.tables import Lake

LEAST = 0.81


def finished_campaigns(lake: Lake, settings: Settings) -> tuple[int, int]:
    """Exposures from `test_from` on whose label is final, and those with a redemption."""
    later = lake.read("examples").where(F.col("shown_date") >= F.lit(settings.response.test_from))
    rows, redeemed = later.agg(F.count("exposure_id"), F.sum(settings.response.label)).collect()[0]
    return rows, redeemed


def later_campaigns(lake: Lake, model: ResponseModel, settings: Settings) -> tuple[Accuracy, int]:
    """The model on every exposure from `test_from` on; and of how many campaigns."""
    exposures = lake.read("exposures").where(F.col("shown_date") >= F.lit(settings.response.test_from))
    offers = lake.read("offers")
    known = known_exposures(settings.demo.as_of, exposures, offers, settings=settings.examples)
    # Those whose window is still open as well: what was redeemed so far is their label.
    known = known.withColumn("final", F.lit(True))
    names = ("clicks", "order_lines", "redemptions", "offer_products", "products", "users")
    rows = examples(
        known,
        as_ofs=counts(known).days,
        days=lake.read("user_days"),
        category_days=lake.read("user_category_days"),
        offers=offers,
        **{name: lake.read(name) for name in names},
        features=settings.features,
        contact_cost=settings.decide.contact_cost,
    )
    label = settings.response.label
    scored = model.predict(rows, column="p").select("user_id", "offer_id", "p", label).persist()
    found = accuracy(scored, probability="p", label=label, seed=settings.run.seed)
    return found, scored.select("offer_id").distinct().count()


def main() -> None:
    """Runs and judges."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--dir", type=Path, required=True, help="where the lake goes")
    parser.add_argument("--json", action="store_true", help="print one JSON line")
    options = parser.parse_args()
    places = demo.Places.beside(str(options.dir / "completejourney" / "lake"))
    places.lake.parent.mkdir(parents=True, exist_ok=True)
    settings = demo.demo_settings("completejourney", places)
    spark = open_session(settings.spark)
    begun = time.monotonic()
    demo.prepare(spark, settings, "completejourney", places)
    metrics = demo.results(spark, settings, demo.run(spark, settings))["metrics"]
    seconds = time.monotonic() - begun
    lake = Lake(spark, settings.run.lake)
    rows, redeemed = finished_campaigns(lake, settings)
    model = ResponseModel.load(spark, Artifacts(lake).load("response").file(settings.response.label))
    every, campaigns = later_campaigns(lake, model, settings)
    detail = judged(lake.read("examples"), model, settings)
    found: dict[str, Any] = {
        "seconds": round(seconds, 1),
        "finished": [metrics[f"response.test.auc{end}"] for end in ("", "_low", "_high")],
        "finished_rows": rows,
        "finished_redeemed": redeemed,
        "all": [every.auc, every.auc_low, every.auc_high],
        "rows": every.rows,
        "redeemed": every.positives,
        "campaigns": campaigns,
        "detail": detail,
    }
    if options.json:
        sys.stdout.write(json.dumps(found) + "\n")
    else:
        sys.stdout.write(f"demo: {seconds:.0f} s\n")
        for name, told in (("finished campaigns", found["finished"]), (f"all {campaigns} campaigns", found["all"])):
            sys.stdout.write(f"{name:20} AUC {told[0]:.4f} [{told[1]:.4f}, {told[2]:.4f}]\n")
        sys.stdout.write(f"finished: {rows} exposures, {redeemed} with a redemption\n")
        sys.stdout.write(f"all: {every.rows} exposures, {every.positives} with a redemption\n")
        sys.stdout.writelines(f"{name:22} {value}\n" for name, value in detail.items())
    good = min(found["finished"][0], every.auc or 0.0) >= LEAST and detail["auc_pooled_gain"][2] >= 0
    sys.exit(0 if good else 1)


if __name__ == "__main__":
    main()
