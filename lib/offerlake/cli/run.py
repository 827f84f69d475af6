"""`offerlake run`, `demo` and `simulate`: the commands that make something."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from offerlake.cli.group import Answer
from offerlake.cli.options import Config, Json, Lake, Landing, Sets, Source, Truth
from offerlake.cli.progress import note, shown

if TYPE_CHECKING:
    from collections.abc import Mapping

Force = Annotated[bool, typer.Option("--force", help="Assign a day anew whose run has been published.")]
Users = Annotated[int | None, typer.Option("--users", min=1, help="Users of the test shop.")]
Seed = Annotated[int | None, typer.Option("--seed", help="Of every random draw but the holdout's.")]


def run(
    as_of: Annotated[str, typer.Option("--as-of", metavar="DATE", help="UTC day: what had arrived before it counts.")],
    first: Annotated[str | None, typer.Option("--from", metavar="JOB", help="Begin with this job.")] = None,
    last: Annotated[str | None, typer.Option("--to", metavar="JOB", help="End with this job.")] = None,
    only: Annotated[list[str] | None, typer.Option("--only", metavar="JOB", help="This job alone; repeatable.")] = None,
    lake: Lake = None,
    landing: Landing = None,
    source: Source = None,
    truth: Truth = None,
    config: Config = None,
    sets: Sets = None,
    force: Force = False,
    json: Json = False,
) -> Answer:
    """Run the pipeline, or a part of it, for one day. A run that was cut short goes on where it was."""
    begun = time.monotonic()
    from offerlake import pipeline
    from offerlake.config import load_settings
    from offerlake.errors import ConfigError
    from offerlake.ingest.kafka import check_servers
    from offerlake.ingest.mapping import load_source
    from offerlake.quality.expectations import load_expectations
    from offerlake.session import open_session
    from offerlake.windows import parse_as_of

    if only and (first or last):
        raise ConfigError("--only beside --from or --to", fix="Give either single jobs or a stretch of the pipeline.")
    places = {"run.lake": lake, "run.landing": landing, "run.source": source, "evaluate.truth": truth}
    settings = load_settings(config or [], sets or [], given=places)
    day = parse_as_of(as_of)
    mapped = load_source(settings.run.source)  # a mistake in it, or in the expectations, is told before Spark starts
    check_servers(mapped, settings.ingest.kafka)
    load_expectations(settings.quality)
    jobs = pipeline.load_jobs()
    part = pipeline.select(jobs, first=first, last=last, only=only or ()) if first or last or only else None
    spark = open_session(settings.spark)
    with shown(lines=json) as tell:
        run_id = pipeline.run(spark, settings, day, part=part, force=force, tell=tell)
    seconds = round(time.monotonic() - begun, 1)
    if not json:
        typer.echo(f"Run {run_id} for {day} is done, {seconds} s; its tables are in {settings.run.lake}.")
    return Answer({"run_id": run_id, "as_of": day, "lake": settings.run.lake, "seconds": seconds})


def demo(
    data: Annotated[Literal["shop", "completejourney"], typer.Option("--data", help="What to run on.")] = "shop",
    users: Users = None,
    seed: Seed = None,
    lake: Annotated[str, typer.Option("--lake", metavar="DIR", help="Folder of the Delta tables.")] = "lake",
    config: Config = None,
    sets: Sets = None,
    json: Json = False,
) -> Answer:
    """Make a shop (or fetch a real one's data), run the whole pipeline on it, and say what it is worth."""
    begun = time.monotonic()
    from offerlake import demo as made
    from offerlake.errors import ConfigError
    from offerlake.session import open_session

    if users is not None and data != "shop":
        raise ConfigError(f"--users: got {users} beside --data {data}", fix="Leave it out: its users are given.")
    places = made.Places.beside(lake)
    settings = made.demo_settings(data, places, users=users, seed=seed, overlays=config or [], sets=sets or [])
    made.check(settings, data, places)
    spark = open_session(settings.spark)
    since = time.monotonic()
    fresh = made.prepare(spark, settings, data, places)
    note(f"landing: {'made' if fresh else 'there already'}, {time.monotonic() - since:.1f} s")
    with shown(lines=json) as tell:
        run_id = made.run(spark, settings, tell=tell)
    found = made.results(spark, settings, run_id)
    answer = {"lake": found.pop("lake"), "seconds": round(time.monotonic() - begun, 1), **found}
    if not json:
        _print_results(answer)
    return Answer(answer)


def simulate(
    landing: Annotated[str, typer.Option("--landing", metavar="DIR", help="Where the feeds go.")],
    truth: Annotated[str, typer.Option("--truth", metavar="DIR", help="Where the truth goes; outside the lake.")],
    users: Users = None,
    seed: Seed = None,
    effects: Annotated[
        float | None, typer.Option("--effects", min=0, help="Factor on what offers do; 0: nothing.")
    ] = None,
    config: Config = None,
    sets: Sets = None,
    json: Json = False,
) -> Answer:
    """Make the test shop's feeds, and the truth about its users."""
    begun = time.monotonic()
    from offerlake.config import load_settings
    from offerlake.session import open_session
    from offerlake.simulate import check_shop, simulate_shop

    own = {"simulate.users": users, "simulate.seed": seed, "simulate.effects": effects}
    settings = load_settings(["local", *(config or [])], sets or [], given=own)
    check_shop(settings, landing=landing, truth=truth)
    simulate_shop(open_session(settings.spark), settings, landing=landing, truth=truth)
    seconds = round(time.monotonic() - begun, 1)
    if not json:
        typer.echo(f"{settings.simulate.users} users are in {landing}, the truth is in {truth}, {seconds} s.")
    return Answer({"landing": landing, "truth": truth, "users": settings.simulate.users, "seconds": seconds})


_TOLD = {
    "response.auc": "response model: AUC",
    "deep.auc": "deep model: AUC",
    "recommend.ndcg@10": "recommendations: NDCG@10",
    "recommend.popularity.ndcg@10": "of the most popular products",
    "offers.budget": "budget",
    "offers.spend": "expected cost of what was assigned",
    "offers.value_model": "expected value, by the models themselves",
    "offers.value_dr": "expected value, doubly robust",
    "offers.mde": "smallest effect that could be detected",
}


def _print_results(answer: Mapping[str, Any]) -> None:
    from rich.console import Console
    from rich.table import Table

    grid = Table("what", "value", "95 % interval")
    for name, text in _TOLD.items():
        _add(grid, answer["metrics"], name, text)
    for name in answer.get("oracle_share", {}):
        if not name.endswith(("_low", "_high")):
            _add(grid, answer["oracle_share"], name, f"share of the oracle's value: {name.replace('_', ' ')}")
    console = Console()
    console.print(grid)
    rows = answer["tables"]
    console.print(
        f"{rows.get('user_offers', 0)} rows in user_offers, {len(rows)} tables in {answer['lake']}", highlight=False
    )
    console.print(f"report: {answer['report']}", highlight=False, soft_wrap=True)
    console.print(f"{answer['seconds']} s", highlight=False)


def _add(grid: Any, numbers: Mapping[str, Any], name: str, text: str) -> None:
    value = numbers.get(name)
    if value is None:
        return
    low, high = numbers.get(f"{name}_low"), numbers.get(f"{name}_high")
    interval = f"{low:.3f} to {high:.3f}" if low is not None and high is not None else ""
    grid.add_row(text, f"{value:.3f}", interval)
