"""Raw clicks to clicks: unique events, in sessions, without bots."""

from __future__ import annotations

from offerlake.clean.clicks import clean_clicks
from offerlake.cleaning import identities, keep, part_of, rules_of
from offerlake.job import Context, Job, main


def run(ctx: Context) -> None:
    """Decides on every record once, see `cleaning.keep`."""
    rules = rules_of(ctx, "clicks")
    part = part_of(ctx, "clicks", table="clicks", happened="event_time", rules=rules)
    keep(
        ctx,
        clean_clicks(
            part.raw,
            products=ctx.read("products"),
            users=ctx.read("users"),
            identities=identities(ctx),
            rules=rules,
            large=part.large,
            parts=part.parts,
        ),
        part,
    )


JOB = Job(
    name="clean_clicks",
    reads=("raw_clicks", "products", "users", "identities"),
    writes=("clicks", "quarantine"),
    run=run,
)

if __name__ == "__main__":
    main(JOB)
