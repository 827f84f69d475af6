"""Raw identities to the other ids of users."""

from __future__ import annotations

from offerlake.clean.identities import clean_identities
from offerlake.cleaning import has_identities, keep, rules_of
from offerlake.job import Context, Job, main


def run(ctx: Context) -> None:
    """Decides on every record once, see `cleaning.keep`."""
    keep(ctx, clean_identities(ctx.read("raw_identities"), rules=rules_of(ctx, "identities")))


JOB = Job(
    name="clean_identities",
    reads=("raw_identities",),
    writes=("identities", "quarantine"),
    run=run,
    when=has_identities,
)

if __name__ == "__main__":
    main(JOB)
