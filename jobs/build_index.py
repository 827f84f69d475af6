"""32-bit numbers for the users with interactions and for all products: new ones are appended, old ones stay."""

from __future__ import annotations

from pyspark.sql import functions as F

from offerlake.features.index import new_numbers
from offerlake.job import Context, Job, main


def run(ctx: Context) -> None:
    """Appends to both indices."""
    rows = 0
    for key, source, index in (
        ("user_id", "interactions", "user_index"),
        ("product_id", "product_features", "product_index"),
    ):
        ctx.lake.create(index)
        ids = ctx.read(source).where(F.col("as_of") == F.lit(ctx.as_of))
        rows += ctx.write(index, new_numbers(ids, ctx.lake.read(index), key=key))
    ctx.count(rows_out=rows)


JOB = Job(
    name="build_index",
    reads=("interactions", "product_features"),
    writes=("user_index", "product_index"),
    run=run,
)

if __name__ == "__main__":
    main(JOB)
