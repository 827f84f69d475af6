"""Raw users to versions of users."""

from __future__ import annotations

from offerlake.clean.users import clean_users
from offerlake.ingest.mapping import load_source
from offerlake.job import Context, Job, main
from offerlake.quality.rows import refusals


def run(ctx: Context) -> None:
    """Decides on every record once; quarantine is written before the table."""
    cleaned = clean_users(
        ctx.read("raw_users"),
        reading=load_source(ctx.settings.run.source).feed("users"),
        quote=ctx.settings.ingest.max_value_chars,
        test_users=ctx.settings.clean.test_users,
        expected=refusals(ctx.settings.quality, "users", quote=ctx.settings.ingest.max_value_chars),
    )
    with cleaned.held() as counts:
        quarantined = ctx.write("quarantine", cleaned.quarantined, where={"job": JOB.name})
        rows = ctx.write("users", cleaned.good)
        ctx.count(rows_in=counts["rows_in"], rows_out=rows, duplicates=counts["duplicates"], quarantined=quarantined)
        for name, number in counts.items():
            ctx.metric(f"clean.users.{name}", number)


JOB = Job(name="clean_users", reads=("raw_users",), writes=("users", "quarantine"), run=run)

if __name__ == "__main__":
    main(JOB)
