"""Raw exposures to exposures, each once."""

from __future__ import annotations

from offerlake.clean.exposures import clean_exposures
from offerlake.cleaning import identities, keep, part_of, rules_of
from offerlake.job import Context, Job, main


def run(ctx: Context) -> None:
    """Decides on every record once, see `cleaning.keep`."""
    rules = rules_of(ctx, "exposures")
    part = part_of(ctx, "exposures", table="exposures", happened="shown_at", rules=rules)
    keep(
        ctx,
        clean_exposures(
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
    name="clean_exposures",
    reads=("raw_exposures", "offers", "users", "identities"),
    writes=("exposures", "quarantine"),
    run=run,
)

if __name__ == "__main__":
    main(JOB)
