"""Raw users to versions of users."""

from __future__ import annotations

from offerlake.clean.users import clean_users
from offerlake.cleaning import keep, rules_of
from offerlake.job import Context, Job, main


def run(ctx: Context) -> None:
    """Decides on every record once, see `cleaning.keep`."""
    keep(ctx, clean_users(ctx.read("raw_users"), rules=rules_of(ctx, "users")))


JOB = Job(name="clean_users", reads=("raw_users",), writes=("users", "quarantine"), run=run)

if __name__ == "__main__":
    main(JOB)
