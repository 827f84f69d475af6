"""The best products of every user, as of a day."""

from __future__ import annotations

from pyspark.ml.recommendation import ALSModel
from pyspark.sql import functions as F

from offerlake.decide.products import scopes
from offerlake.features.catalogue import known_products
from offerlake.job import Context, Job, main
from offerlake.recommend.baselines import popularity
from offerlake.recommend.blocks import Rule
from offerlake.recommend.content import untouched
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
    found = recommend(
        ctx.read("user_features").where(today),
        interactions,
        user_factors=model.userFactors,
        user_index=ctx.read("user_index"),
        product_index=product_index,
        products=catalogue(factors, product_index, popular, shown, scopes=limited, untouched=new),
        rules=[Rule.of(settings, own_weight=trained.settings["own_weight"], scoped=ctx.settings.decide.products)],
    )
    rows = ctx.write(
        "candidates", CANDIDATES.select(found.withColumn("as_of", F.lit(ctx.as_of))), where={"as_of": ctx.as_of}
    )
    ctx.count(rows_out=rows)


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
    ),
    writes=("candidates",),
    run=run,
)

if __name__ == "__main__":
    main(JOB)
