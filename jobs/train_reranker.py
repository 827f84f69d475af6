"""The second stage of `candidates`: learnt on one window of the past, judged on the next, then learnt anew on that."""

from __future__ import annotations

from datetime import date, timedelta

from offerlake import files
from offerlake.config import Settings
from offerlake.evaluate.bootstrap import Estimate, poisson_means
from offerlake.holdout import READS, Holdout, index_needs
from offerlake.job import Context, Job, Need, main
from offerlake.recommend.blocks import Rule
from offerlake.recommend.rerank import TREES


def run(ctx: Context) -> None:
    """Writes the model with `use`: whether lists were shown to be better with it on a window that it had not seen."""
    settings = ctx.settings.recommend
    days = timedelta(days=settings.holdout_days)
    rule = Rule.of(settings, own_weight=ctx.model("als").settings["own_weight"])
    last = ctx.as_of - days
    trees: bytes | None = None
    gain: Estimate | None = None
    if (window := _window(ctx, last - days)) is not None:
        trees = _learnt(ctx, window, rule)
        window.unpersist()
    if trees is not None and (window := _window(ctx, last)) is not None:
        gain = _judged(ctx, window, rule, trees)
        trees = _learnt(ctx, window, rule)
        window.unpersist()
    if gain is None:
        ctx.metric("recommend.rerank.gain", None)
    use = gain is not None and gain.low is not None and gain.low > 0 and trees is not None
    model = ctx.draft_model("reranker", {**settings.rerank.model_dump(mode="json"), "use": use})
    if trees is not None:
        files.write_bytes(ctx.spark, model.file(TREES), trees)
    ctx.publish_model(model)


def _window(ctx: Context, cut: date) -> Holdout | None:
    settings = ctx.settings.recommend
    until = cut + timedelta(days=settings.holdout_days)
    return Holdout.of(ctx.read, cut=cut, until=until, settings=settings, seed=ctx.settings.run.seed)


def _learnt(ctx: Context, window: Holdout, rule: Rule) -> bytes | None:
    return window.learnt(rule, settings=ctx.settings.recommend.rerank, seed=ctx.settings.run.seed)


def _judged(ctx: Context, window: Holdout, rule: Rule, trees: bytes) -> Estimate:
    """Notes the metrics of lists with the trees, and by how much NDCG@10 is higher than without; returns that."""
    judged = window.gained(rule, trees, pool=ctx.settings.recommend.rerank.pool, ks=(10,))
    samples, seed = ctx.settings.evaluate.bootstrap, ctx.settings.run.seed
    number, means = poisson_means(judged, key="user_id", samples=samples, seed=seed)
    for name, mean in means.items():
        ctx.metric(f"recommend.rerank.{name}", mean.value, low=mean.low, high=mean.high)
    ctx.metric("recommend.rerank.users", number)
    return means["gain"]


def _needs(settings: Settings) -> tuple[Need, ...]:
    why = "recommend.rerank.enabled is true, and "
    return (
        *index_needs(settings),
        Need("xgboost", 'Run pip install "offerlake[boost]", or set recommend.rerank.enabled=false.', why),
    )


JOB = Job(
    name="train_reranker",
    reads=(*READS, "model:als"),
    writes=("model:reranker",),
    run=run,
    when=lambda settings: settings.recommend.rerank.enabled,
    needs=_needs,
)

if __name__ == "__main__":
    main(JOB)
