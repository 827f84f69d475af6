"""Raw offers to versions of offers."""

from __future__ import annotations

from offerlake.clean.offers import clean_offers
from offerlake.cleaning import keep, rules_of
from offerlake.job import Context, Job, main


def run(ctx: Context) -> None:
    """Decides on every record once, see `cleaning.keep`."""
    keep(ctx, clean_offers(ctx.read("raw_offers"), rules=rules_of(ctx, "offers")))


JOB = Job(name="clean_offers", reads=("raw_offers",), writes=("offers", "quarantine"), run=run)

if __name__ == "__main__":
    main(JOB)
