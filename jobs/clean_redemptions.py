"""Raw redemptions to redemptions, each once."""

from __future__ import annotations

from offerlake.clean.redemptions import clean_redemptions
from offerlake.cleaning import identities, keep, part_of, rules_of
from offerlake.job import Context, Job, main


def run(ctx: Context) -> None:
    """Decides on every record once, see `cleaning.keep`."""
    rules = rules_of(ctx, "redemptions")
    part = part_of(ctx, "redemptions", table="redemptions", happened="redeemed_at", rules=rules)
    keep(
        ctx,
        clean_redemptions(
            part.raw,
            offers=ctx.read("offers"),
            users=ctx.read("users"),
            identities=identities(ctx),
            rules=rules,
            large=part.large,
        ),
        part,
    )


JOB = Job(
    name="clean_redemptions",
    reads=("raw_redemptions", "offers", "users"),
    writes=("redemptions", "quarantine"),
    run=run,
)

if __name__ == "__main__":
    main(JOB)
