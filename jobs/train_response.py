"""Trains the response models on the examples: examples → model response, one folder a label."""

from __future__ import annotations

from pyspark.sql import DataFrame

from offerlake import files
from offerlake.config import Settings
from offerlake.errors import DataError
from offerlake.job import Context, Job, Need, main
from offerlake.response.importance import importance
from offerlake.response.report import tell
from offerlake.response.train import Trained, labels_of, train_response

_EXPLAINED = 5000  # examples that say what the model looks at


def run(ctx: Context) -> None:
    """Trains the label's model and, where there was an experiment on another outcome, that of `responded` too."""
    examples, settings = ctx.read("examples"), ctx.settings.response
    draft = ctx.draft_model("response", settings.model_dump(mode="json"))
    for label in labels_of(examples, label=settings.label):
        trained = train_response(examples, settings=settings, label=label, seed=ctx.settings.run.seed)
        folder = draft.file(label)
        files.write_bytes(ctx.spark, f"{folder}/response.json", trained.model.save(folder))
        if label == settings.label:
            for metric in tell(trained):
                ctx.metric(metric.name, metric.value, low=metric.low, high=metric.high, part=metric.part)
            _tell_importance(ctx, trained, examples, folder)
            ctx.count(rows_in=trained.rows["all"])
    ctx.publish_model(draft)


def _tell_importance(ctx: Context, trained: Trained, examples: DataFrame, folder: str) -> None:
    """Notes what the model looks at; null where its trees are too deep to be explained."""
    seed = ctx.settings.run.seed
    try:
        found = importance(trained.model, examples, trained.columns, folder=folder, most=_EXPLAINED, seed=seed)
    except DataError:
        ctx.metric("response.importance", None)
        return
    for name, value in found.items():
        ctx.metric("response.importance", value, part=f"column={name}")


def needs(settings: Settings) -> tuple[Need, ...]:
    """What the engine is made of."""
    if settings.response.engine != "xgboost":
        return ()
    fix = 'Run pip install "offerlake[boost]", or set response.engine=gbt.'
    return tuple(Need(package, fix, why="response.engine is xgboost, ") for package in ("xgboost", "sklearn"))


JOB = Job(name="train_response", reads=("examples",), writes=("model:response",), run=run, needs=needs)

if __name__ == "__main__":
    main(JOB)
