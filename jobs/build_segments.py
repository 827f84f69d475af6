"""Segments of users with names that last from run to run: model segments, tables segments and segment_profiles."""

from __future__ import annotations

import json

from pyspark.sql import functions as F

from offerlake import files
from offerlake.artifacts import Model
from offerlake.errors import MissingTableError
from offerlake.job import Context, Job, main
from offerlake.schemas.value import SEGMENT_PROFILES, SEGMENTS
from offerlake.value.labels import MODEL_FILE, Labels, label
from offerlake.value.profiles import kept_share, placed, profiles
from offerlake.value.segments import Segmentation, segment
from offerlake.value.traits import learn_scales, scaled, traits


def run(ctx: Context) -> None:
    """Writes the slices of `as_of`: every user of user_features, or nobody where hardly any two users differ."""
    settings = ctx.settings.segments
    features = ctx.read("user_features").where(F.col("as_of") == F.lit(ctx.as_of)).cache()
    values = traits(features).cache()
    scales = learn_scales(values, winsor=settings.winsor)
    users = scaled(values, scales).cache()
    former = before(ctx)
    found = segment(
        users, settings=settings, seed=ctx.settings.run.seed, former=None if former is None else former.choice
    )
    where = {"as_of": ctx.as_of}
    if found is None:
        ctx.metric("segments.k", 0)
        for contract in (SEGMENTS, SEGMENT_PROFILES):
            ctx.write(contract.name, ctx.spark.createDataFrame([], contract.struct), where=where)
        for frame in (features, values, users):
            frame.unpersist()
        return
    labels = label(found.centres, scales, choice=found.choice, former=former, limit=settings.move_limit)
    draft = ctx.draft_model("segments", settings.model_dump(mode="json"))
    content = {"now": labels.as_dict(), "before": None if former is None else former.as_dict()}
    files.write_bytes(ctx.spark, draft.file(MODEL_FILE), json.dumps(content, indent=1).encode())
    rows = placed(users, labels, scales).withColumn("as_of", F.lit(ctx.as_of)).cache()
    value = ctx.read("user_value").where(F.col("as_of") == F.lit(ctx.as_of)) if ctx.settings.clv.enabled else None
    described = profiles(rows, features, labels, scales, value=value).withColumn("as_of", F.lit(ctx.as_of))
    ctx.count(rows_out=ctx.write("segments", SEGMENTS.select(rows), where=where))
    ctx.write("segment_profiles", SEGMENT_PROFILES.select(described), where=where)
    tell(ctx, found, labels, former)
    if former is not None:
        ctx.metric("segments.kept_users", kept_share(rows, former, scales))
    ctx.publish_model(draft)
    for frame in (features, values, users, rows):
        frame.unpersist()


def before(ctx: Context) -> Labels | None:
    """The segments of the run before this one: where this run is made again, those that it began with."""
    try:
        model: Model = ctx.model("segments")
    except MissingTableError:
        return None
    content = json.loads(files.read_bytes(ctx.spark, model.file(MODEL_FILE)))
    labels = content["before" if model.made_by == ctx.run_id else "now"]
    return None if labels is None else Labels.of(labels)


def tell(ctx: Context, found: Segmentation, labels: Labels, former: Labels | None) -> None:
    """Notes how far apart segments are, how stable, and how many are the former run's."""
    method, k = found.choice
    ctx.metric("segments.k", k)
    ctx.metric("segments.silhouette", found.silhouettes[found.choice])
    ctx.metric("segments.stability", found.stability)
    for (tried, number), silhouette in found.silhouettes.items():
        ctx.metric("segments.silhouette", silhouette, part=f"method={tried},k={number}")
    ctx.metric("segments.chosen", 1, part=f"method={method}")
    if former is not None:
        ctx.metric("segments.kept", sum(number in former.centres for number in labels.centres))


JOB = Job(
    name="build_segments",
    reads=("user_features", "user_value", "model:segments"),
    writes=("segments", "segment_profiles", "model:segments"),
    run=run,
    when=lambda settings: settings.segments.enabled,
)

if __name__ == "__main__":
    main(JOB)
