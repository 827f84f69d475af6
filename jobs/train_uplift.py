"""Trains the effect of offers and the money of a pair: examples, model response → model uplift."""

from __future__ import annotations

import json

from offerlake import files
from offerlake.job import Context, Job, main
from offerlake.response.models import ResponseModel
from offerlake.response.report import tell_uplift
from offerlake.response.train import labels_of
from offerlake.response.uplift import OUTCOME, UPLIFT_FILE, train_uplift


def run(ctx: Context) -> None:
    """Learns from randomised rows whom an offer changes, and from all buyers what an order and a use are worth."""
    examples, settings = ctx.read("examples"), ctx.settings
    response = ctx.model("response")
    base = None
    if OUTCOME in labels_of(examples, label=settings.response.label):
        base = ResponseModel.load(ctx.spark, response.file(OUTCOME))
    trained = train_uplift(
        examples,
        base,
        label=settings.response.label,
        seed=settings.run.seed,
        folds=settings.response.folds,
        settings=settings.uplift,
        contact_cost=settings.decide.contact_cost,
        until=settings.response.test_from,
    )
    chosen = settings.response.model_dump(mode="json", include={"label", "folds", "test_from"})
    draft = ctx.draft_model("uplift", settings.uplift.model_dump(mode="json") | chosen | {"response": response.version})
    files.write_bytes(ctx.spark, draft.file(UPLIFT_FILE), json.dumps(trained.model.as_dict(), indent=1).encode())
    for metric in tell_uplift(trained):
        ctx.metric(metric.name, metric.value, low=metric.low, high=metric.high, part=metric.part)
    ctx.publish_model(draft)


JOB = Job(name="train_uplift", reads=("examples", "model:response"), writes=("model:uplift",), run=run)

if __name__ == "__main__":
    main(JOB)
