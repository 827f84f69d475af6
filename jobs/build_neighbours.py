"""Which products are bought together, by the same users and in the same orders, as of a day."""

from __future__ import annotations

from pyspark.sql import functions as F

from offerlake.job import Context, Job, main
from offerlake.recommend.neighbours import neighbours
from offerlake.schemas.gold import PRODUCT_NEIGHBOURS
from offerlake.windows import in_window, known_before


def run(ctx: Context) -> None:
    """Writes the slice of `as_of`."""
    settings = ctx.settings.recommend.neighbours
    day = F.lit(ctx.as_of).cast("timestamp")
    index = ctx.read("product_index")
    lines = (
        ctx.read("order_lines")
        .where((F.col("quantity") > 0) & F.col("known_product"))
        .where(known_before(day, happened=F.col("order_time"), arrived=F.col("arrived_at")))
        .where(in_window(F.col("order_time"), end=day, days=settings.days))
        .join(index.withColumnRenamed("idx", "product"), on="product_id", how="inner")
    )
    parts = [
        neighbours(lines.withColumnRenamed(key, "unit"), settings=settings, seed=ctx.settings.run.seed).withColumn(
            "basis", F.lit(basis)
        )
        for basis, key in (("user", "user_id"), ("order", "order_id"))
    ]
    neighbour = index.selectExpr("product_id AS neighbour_id", "idx AS neighbour")
    named = (
        parts[0]
        .unionByName(parts[1])
        .join(index.withColumnRenamed("idx", "product"), on="product", how="inner")
        .join(neighbour, on="neighbour", how="inner")
        .withColumn("as_of", F.lit(ctx.as_of))
    )
    ctx.count(rows_out=ctx.write("product_neighbours", PRODUCT_NEIGHBOURS.select(named), where={"as_of": ctx.as_of}))


JOB = Job(
    name="build_neighbours",
    reads=("order_lines", "product_index"),
    writes=("product_neighbours",),
    run=run,
)

if __name__ == "__main__":
    main(JOB)
