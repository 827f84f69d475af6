"""`offerlake source`: whether a mapping fits a shop's files, and a first one drafted from them."""

from __future__ import annotations

import os
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from offerlake.cli.group import Answer
from offerlake.cli.options import Config, Json, Landing, Sets

if TYPE_CHECKING:
    from offerlake.sources import FeedLook

app = typer.Typer(help="Draft or check the mapping of a shop's files.", no_args_is_help=True)


@app.command()
def check(
    mapping: Annotated[str, typer.Argument(metavar="FILE|NAME", help="A mapping, or a name in conf/sources/.")],
    landing: Landing = None,
    rows: Annotated[int, typer.Option("--rows", min=1, max=100_000, help="Records of each feed to look at.")] = 1000,
    config: Config = None,
    sets: Sets = None,
    json: Json = False,
) -> Answer:
    """Read some records of each feed and say what maps, what fails and why."""
    from offerlake.config import load_settings
    from offerlake.ingest.kafka import check_servers
    from offerlake.ingest.mapping import load_source

    settings = load_settings(config or [], sets or [], given={"run.landing": landing})
    source = load_source(mapping)
    check_servers(source, settings.ingest.kafka)
    from offerlake import sources
    from offerlake.session import open_session

    looks = sources.check(open_session(settings.spark, app="source"), source, settings, rows=rows)
    fits = all(look.ok for look in looks)
    if not json:
        for look in looks:
            _print(look)
        typer.echo("The mapping fits." if fits else "The mapping does not fit yet.")
    content = {look.name: {**asdict(look), "ok": look.ok} for look in looks}
    return Answer({"ok": fits, "feeds": content, "none": list(source.none)}, code=0 if fits else 1)


@app.command()
def init(
    places: Annotated[list[Path], typer.Argument(metavar="FILES…", help="Files of raw logs, folders of them.")],
    landing: Annotated[
        Path | None, typer.Option("--landing", metavar="DIR", help="The folder above them; else the nearest.")
    ] = None,
    name: Annotated[str, typer.Option("--name", help="What to call the source.")] = "mine",
    output: Annotated[
        Path | None, typer.Option("--output", "-o", metavar="FILE", help="Write it there, which must not exist.")
    ] = None,
    rows: Annotated[int, typer.Option("--rows", min=1, max=10_000, help="Records of each file to look at.")] = 200,
    config: Config = None,
    sets: Sets = None,
    json: Json = False,
) -> Answer:
    """Draft a mapping from files: which feed each is, its columns, how times and numbers are written."""
    from offerlake.config import load_settings
    from offerlake.errors import ConfigError
    from offerlake.ingest.draft import draft

    settings = load_settings(config or [], sets or [])
    if output is not None and output.exists():
        raise ConfigError(f"{output} is there already", fix="Give --output a new file.")
    if output is not None and not output.absolute().parent.is_dir():
        raise ConfigError(f"{output.parent} is no folder", fix="Make it first.")
    from offerlake import sources
    from offerlake.session import open_session

    above = landing or Path(os.path.commonpath([_folder(place) for place in places]))
    found = sources.samples(open_session(settings.spark, app="source"), places, above, rows=rows)
    text = draft(name, found)
    if output is not None:
        output.write_text(text, encoding="utf-8")
    if not json:
        typer.echo(text if output is None else f"Wrote {output}: look at its comments.")
        typer.echo(f"# Its paths begin at {above}: --landing of `offerlake source check` and `offerlake run`.")
    return Answer({"landing": str(above), "mapping": text})


def _folder(place: Path) -> Path:
    whole = place.resolve()
    return whole.parent if whole.is_file() or (whole / "_delta_log").is_dir() else whole


def _print(look: FeedLook) -> None:
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table as Grid

    console = Console()
    if look.error:
        console.print(f"{look.name}: {look.error}", markup=False, highlight=False)
        return
    apart = f", {look.others} more are other feeds'" if look.others else ""
    where = f"in {look.files} files" if look.files else "of its topic"
    title = f"{look.name}: of {look.records} records {where} {look.usable} can be used{apart}"
    grid = Grid("column", "from", "filled", "refused", "such as", title=title, title_justify="left")
    for column in look.columns:
        numbers = (str(column.filled), str(column.refused) if column.refused else "")
        grid.add_row(*(escape(text) for text in (column.name, column.source, *numbers, column.example)))
    console.print(grid)
