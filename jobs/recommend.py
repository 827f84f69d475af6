"""The best products of every user, as of a day."""

from __future__ import annotations

from pyspark.ml.recommendation import ALSModel
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from offerlake import files
from offerlake.decide.products import scopes
from offerlake.features.catalogue import known_products
from offerlake.features.groups import user_groups
from offerlake.holdout import index_needs
from offerlake.job import Context, Job, main
from offerlake.recommend.als import user_factors
from offerlake.recommend.baselines import popularity, popularity_in_groups
from offerlake.recommend.blocks import Catalogue, Rule
from offerlake.recommend.content import untouched
from offerlake.recommend.foldin import fold_in
from offerlake.recommend.rerank import TREES, Ranker, beside, drawn, traits
from offerlake.recommend.topn import Scorer, catalogue, found_share, showable
from offerlake.schemas.gold import CANDIDATES

_JUDGED = 1000  # users whose lists are made exactly too, where an index is used


def run(ctx: Context) -> None:
    """Writes the slice of `as_of`."""
    settings, seed = ctx.settings.recommend, ctx.settings.run.seed
    today = F.col("as_of") == F.lit(ctx.as_of)
    interactions = ctx.read("interactions").where(today)
    product_index = ctx.read("product_index")
    trained = ctx.model("als")
    model = ALSModel.load(trained.file("model"))
    popular = popularity(interactions, as_of=ctx.as_of, days=settings.popularity_days, mode=settings.mode)
    known = known_products(ctx.read("products"), as_of=ctx.as_of)
    groups = user_groups(ctx.read, by=settings.popularity_by, as_of=ctx.as_of)
    products = catalogue(
        model.itemFactors,
        product_index,
        popular,
        showable(known, blocked=settings.blocked_categories),
        scopes=scopes(ctx.read("offers"), ctx.read("offer_products"), known, as_of=ctx.as_of),
        untouched=untouched(known, model.itemFactors, product_index, popular, settings=settings.content),
        in_groups=popularity_in_groups(interactions, groups, as_of=ctx.as_of, days=settings.popularity_days),
        approximate=settings.approximate,
        seed=seed,
    )
    if trained.settings.get("as_of") == ctx.as_of.isoformat():
        factors = user_factors(model, ctx.read("user_index"))
    else:
        of_fit = settings.model_copy(update={name: trained.settings[name] for name in ("alpha", "regularisation")})
        factors = fold_in(interactions, model.itemFactors, product_index, settings=of_fit)
    scorer = Scorer(interactions, factors, product_index, products, groups)
    users = ctx.read("user_features").where(today).select("user_id")
    rule = Rule.of(settings, own_weight=trained.settings["own_weight"], scoped=ctx.settings.decide.products)
    found = scorer.recommend(
        users, [rule], _second(ctx, interactions, products) if settings.rerank.enabled else None
    ).withColumn("as_of", F.lit(ctx.as_of))
    ctx.count(rows_out=ctx.write("candidates", CANDIDATES.select(found), where={"as_of": ctx.as_of}))
    if products.nearest is not None:
        some = drawn(users, most=_JUDGED, seed=seed).cache()
        recall = found_share(scorer, some, rule)
        ctx.metric("recommend.approximate.recall", recall)
        some.unpersist()


def _second(ctx: Context, interactions: DataFrame, products: Catalogue) -> Ranker | None:
    """The second stage, where it has shown that it helps."""
    model = ctx.model("reranker")
    if not model.settings["use"]:
        return None
    trees = files.read_bytes(ctx.spark, model.file(TREES))
    of_products = traits(interactions, days=ctx.settings.recommend.popularity_days)
    return Ranker(model.settings["pool"], trees, beside(products, of_products))


JOB = Job(
    name="recommend",
    reads=(
        "user_features",
        "interactions",
        "user_index",
        "product_index",
        "products",
        "users",
        "offers",
        "offer_products",
        "model:als",
        "model:reranker",
    ),
    writes=("candidates",),
    run=run,
    needs=index_needs,
)

if __name__ == "__main__":
    main(JOB)
