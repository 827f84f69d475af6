"""Silver as it is expected to be: every expectation checked and noted; the run stops where one says so."""

from __future__ import annotations

from itertools import chain

from offerlake.ingest.mapping import load_source
from offerlake.job import Context, Job, main
from offerlake.parallel import side_by_side
from offerlake.quality.check import check_table, needed
from offerlake.quality.expectations import CHECKED, FEED_OF, load_expectations
from offerlake.quality.judge import Finding, as_rows, refuse_to_go_on
from offerlake.schemas import table


def run(ctx: Context) -> None:
    """Checks each table that the source has a feed of; what was found is written before anything stops."""
    settings = ctx.settings.quality
    expectations = load_expectations(settings)
    none = load_source(ctx.settings.run.source).none

    def checked(name: str) -> list[Finding]:
        tables = {each: ctx.read(each) for each in needed(name, expectations[name])}
        quote = ctx.settings.ingest.max_value_chars
        return check_table(tables, name, expectations[name], as_of=ctx.as_of, days=settings.days, quote=quote)

    with_feed = [name for name in expectations if FEED_OF[name] not in none]
    findings = list(chain.from_iterable(side_by_side(checked, with_feed)))
    rows = as_rows(findings, run_id=ctx.run_id, attempt=ctx.attempt, as_of=ctx.as_of)
    written = ctx.write("expectations", ctx.spark.createDataFrame(rows, schema=table("expectations").struct))
    ctx.count(rows_out=written)
    refuse_to_go_on(findings, where=str(settings.expectations))


JOB = Job(
    name="check_quality",
    reads=(*CHECKED, "quarantine"),
    writes=("expectations",),
    run=run,
    when=lambda settings: settings.quality.expectations is not None,
    gate=True,
)

if __name__ == "__main__":
    main(JOB)
