"""Trains the deep model of the label on the examples, by Horovod: examples → model deep."""

from __future__ import annotations

from pyspark.sql import functions as F

from offerlake import files
from offerlake.accuracy import accuracy
from offerlake.deep.launch import fit
from offerlake.deep.score import score
from offerlake.job import Context, Job, Need, main
from offerlake.response.train import usable
from offerlake.windows import part_of


def run(ctx: Context) -> None:
    """Learns from the earlier days; judges out-of-fold on the later ones."""
    response, seed = ctx.settings.response, ctx.settings.run.seed
    given = usable(ctx.read("examples"), response)
    split = given.split
    checkpoints = f"{ctx.lake.root}/models/deep/checkpoints"
    model, losses = fit(
        ctx.read("examples"),
        settings=ctx.settings.deep,
        label=response.label,
        split=split,
        seed=seed,
        folds=response.folds,
        checkpoints=files.qualified(ctx.spark, checkpoints),
    )
    chosen = response.model_dump(mode="json", include={"label", "folds", "validation_share", "test_from"})
    draft = ctx.draft_model("deep", ctx.settings.deep.model_dump(mode="json") | chosen)
    for name, content in model.files().items():
        files.write_bytes(ctx.spark, draft.file(name), content)
    part = part_of(split, shown=F.col("shown_date"), label_end=F.col("label_end"))
    judged = accuracy(
        score(given.frame.where(part == split.judged), model), probability="p_deep", label=response.label, seed=seed
    )
    ctx.metric("deep.auc", judged.auc, low=judged.auc_low, high=judged.auc_high)
    ctx.metric("deep.log_loss", judged.log_loss)
    for fold, by_epoch in enumerate(losses):
        ctx.metric("deep.validation_log_loss", min(by_epoch), part=f"fold={fold}")
        ctx.metric("deep.epochs", len(by_epoch), part=f"fold={fold}")
    ctx.publish_model(draft)
    files.delete(ctx.spark, checkpoints)


_FIX = "`offerlake doctor` says what brings it; deep.enabled=false leaves the deep model out."
JOB = Job(
    name="train_deep",
    reads=("examples",),
    writes=("model:deep",),
    run=run,
    when=lambda settings: settings.deep.enabled,
    needs=lambda _: tuple(Need(package, _FIX) for package in ("torch", "horovod")),
    main_thread=True,  # Horovod takes SIGINT and SIGTERM for itself while it runs
)

if __name__ == "__main__":
    main(JOB)
