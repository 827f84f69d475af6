"""What users did by day: the tables user_days and user_category_days, out of which features of any day are summed."""

from __future__ import annotations

from pyspark.sql import functions as F

from offerlake.features.affinity import user_category_days
from offerlake.features.events import user_days
from offerlake.job import Context, Job, main


def run(ctx: Context) -> None:
    """Writes both tables anew."""
    clicks, order_lines = ctx.read("clicks"), ctx.read("order_lines")
    days = user_days(
        clicks=clicks,
        order_lines=order_lines,
        exposures=ctx.read("exposures"),
        redemptions=ctx.read("redemptions"),
        offers=ctx.read("offers"),
        features=ctx.settings.features,
        examples=ctx.settings.examples,
        session_gap_minutes=ctx.settings.clean.session_gap_minutes,
    )
    ctx.count(rows_out=ctx.write("user_days", days))
    capped = ctx.lake.read("user_days").agg(F.sum("capped_lines")).collect()[0][0]
    ctx.metric("activity.capped_lines", capped or 0)
    by_category = user_category_days(clicks=clicks, order_lines=order_lines, products=ctx.read("products"))
    ctx.write("user_category_days", by_category)


JOB = Job(
    name="build_activity",
    reads=("clicks", "order_lines", "exposures", "redemptions", "offers", "products"),
    writes=("user_days", "user_category_days"),
    run=run,
)

if __name__ == "__main__":
    main(JOB)
