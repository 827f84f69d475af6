"""The best products of every user, as of a day."""

from __future__ import annotations

from pyspark.ml.recommendation import ALSModel
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from offerlake import files
from offerlake.decide.products import scopes
from offerlake.features.catalogue import known_products
from offerlake.job import Context, Job, main
from offerlake.recommend.baselines import popularity
from offerlake.recommend.blocks import Catalogue, Rule
from offerlake.recommend.content import untouched
from offerlake.recommend.rerank import TREES, Ranker, beside, traits
from offerlake.recommend.topn import catalogue, recommend, showable
from offerlake.schemas.gold import CANDIDATES


def run(ctx: Context) -> None:
    """Writes the slice of `as_of`."""
    settings = ctx.settings.recommend
    today = F.col("as_of") == F.lit(ctx.as_of)
    interactions = ctx.read("interactions").where(today)
    product_index = ctx.read("product_index")
    trained = ctx.model("als")
    model = ALSModel.load(trained.file("model"))
    popular = popularity(interactions, as_of=ctx.as_of, days=settings.popularity_days)
    known = known_products(ctx.read("products"), as_of=ctx.as_of)
    limited = scopes(ctx.read("offers"), ctx.read("offer_products"), known, as_of=ctx.as_of)
    shown = showable(known, blocked=settings.blocked_categories)
    factors = model.itemFactors
    new = untouched(known, factors, product_index, popular, settings=settings.content)
    products = catalogue(factors, product_index, popular, shown, scopes=limited, untouched=new)
    found = recommend(
        ctx.read("user_features").where(today),
        interactions,
        user_factors=model.userFactors,
        user_index=ctx.read("user_index"),
        product_index=product_index,
        products=products,
        rules=[Rule.of(settings, own_weight=trained.settings["own_weight"], scoped=ctx.settings.decide.products)],
        second=_second(ctx, interactions, products) if settings.rerank.enabled else None,
    )
    rows = ctx.write(
        "candidates", CANDIDATES.select(found.withColumn("as_of", F.lit(ctx.as_of))), where={"as_of": ctx.as_of}
    )
    ctx.count(rows_out=rows)


def _second(ctx: Context, interactions: DataFrame, products: Catalogue) -> Ranker | None:
    """The second stage, where it has shown that it helps."""
    model = ctx.model("reranker")
    if not model.settings["use"]:
        return None
    trees = files.read_bytes(ctx.spark, model.file(TREES))
    return Ranker(model.settings["pool"], trees, beside(products, traits(interactions)))


JOB = Job(
    name="recommend",
    reads=(
        "user_features",
        "interactions",
        "user_index",
        "product_index",
        "products",
        "offers",
        "offer_products",
        "model:als",
        "model:reranker",
    ),
    writes=("candidates",),
    run=run,
)

if __name__ == "__main__":
    main(JOB)
