"""Raw identities to the other ids of users."""

from __future__ import annotations

from offerlake.clean.identities import clean_identities
from offerlake.cleaning import keep, rules_of
from offerlake.ingest.mapping import load_source
from offerlake.job import Context, Job, main


def run(ctx: Context) -> None:
    """Decides on every record once, see `cleaning.keep`."""
    keep(ctx, clean_identities(ctx.read("raw_identities"), rules=rules_of(ctx, "identities")))


JOB = Job(
    name="clean_identities",
    reads=("raw_identities",),
    writes=("identities", "quarantine"),
    run=run,
    when=lambda settings: "identities" not in load_source(settings.run.source).none,
)

if __name__ == "__main__":
    main(JOB)
