"""Raw clicks to clicks: unique events, in sessions, without bots."""

from __future__ import annotations

from offerlake.clean.clicks import clean_clicks
from offerlake.cleaning import identities, keep, rules_of
from offerlake.job import Context, Job, main


def run(ctx: Context) -> None:
    """Decides on every record once, see `cleaning.keep`."""
    keep(
        ctx,
        clean_clicks(
            ctx.read("raw_clicks"),
            products=ctx.read("products"),
            users=ctx.read("users"),
            identities=identities(ctx),
            rules=rules_of(ctx, "clicks"),
        ),
    )


JOB = Job(
    name="clean_clicks",
    reads=("raw_clicks", "products", "users", "identities"),
    writes=("clicks", "quarantine"),
    run=run,
)

if __name__ == "__main__":
    main(JOB)
