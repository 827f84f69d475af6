"""`offerlake tables`, `features`, `show` and `report`: what there is in a lake."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from offerlake.cli.group import Answer
from offerlake.cli.options import Config, Json, Lake, Sets

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

    from offerlake.schemas import Table

_WIDE = 8  # more columns than this are printed one below the other


def tables(
    name: Annotated[str | None, typer.Argument(metavar="[TABLE]", help="One table, with its columns.")] = None,
    markdown: Annotated[bool, typer.Option("--markdown", help="Print the page docs/tables.md.")] = False,
    json: Json = False,
) -> Answer:
    """List the contract of every table: layer, grain, key; with a name, its columns."""
    from offerlake.schemas import TABLES
    from offerlake.schemas.page import as_dict, page

    chosen = [_contract(name)] if name else list(TABLES.values())
    if not json:
        if markdown:
            typer.echo(page(chosen), nl=False)
        elif name:
            _print_columns(chosen[0])
        else:
            _print_tables(chosen)
    return Answer({contract.name: as_dict(contract) for contract in chosen})


def features(
    markdown: Annotated[bool, typer.Option("--markdown", help="Print the page docs/user_features.md.")] = False,
    json: Json = False,
) -> Answer:
    """List what is known of a user as of a day: each feature with its unit, meaning and formula."""
    from dataclasses import asdict

    from offerlake.schemas.user_features import FAMILIES, FEATURES, page

    if markdown and not json:
        typer.echo(page(), nl=False)
    elif not json:
        from rich.console import Console
        from rich.markup import escape
        from rich.table import Table as Grid

        grid = Grid("feature", "unit", "meaning", "formula")
        for family in FAMILIES.values():
            for each in family:
                grid.add_row(each.name, each.unit, escape(each.meaning), escape(each.formula))
            grid.add_section()
        Console().print(grid)
    return Answer({each.name: asdict(each) for each in FEATURES})


def show(
    name: Annotated[str, typer.Argument(metavar="TABLE", help="Such as user_offers.")],
    limit: Annotated[int, typer.Option("--limit", min=1, max=10_000, help="Rows.")] = 10,
    lake: Lake = None,
    config: Config = None,
    sets: Sets = None,
    json: Json = False,
) -> Answer:
    """Print the first rows of a table."""
    from offerlake.config import load_settings

    settings = load_settings(config or [], sets or [], given={"run.lake": lake})
    _contract(name)
    from offerlake.session import open_session
    from offerlake.tables import Lake as Tables

    frame = Tables(open_session(settings.spark, app="show"), settings.run.lake).read(name)
    rows = [row.asDict(recursive=True) for row in frame.limit(limit).collect()]
    if not json:
        _print_rows(frame.columns, rows)
    return Answer({"table": name, "rows": rows})


def report(
    open_it: Annotated[bool, typer.Option("--open", help="Open it in the browser.")] = False,
    lake: Lake = None,
    config: Config = None,
    sets: Sets = None,
    json: Json = False,
) -> Answer:
    """Print the path of the newest report of a lake."""
    from offerlake import demo
    from offerlake.config import load_settings

    settings = load_settings(config or [], sets or [], given={"run.lake": lake})
    if ":/" in settings.run.lake:
        from offerlake.session import open_session

        spark = open_session(settings.spark, app="report")
        path = demo.newest_remote_report(spark, settings.run.lake)
        page = _copied(spark, path) if open_it else path
    else:
        path = page = str(demo.newest_report(settings.run.lake))
    if not json:
        typer.echo(path)
    if open_it:
        typer.launch(page)
    return Answer({"report": path})


def _copied(spark: SparkSession, uri: str) -> str:
    """A copy on this machine, for the browser."""
    import tempfile
    from pathlib import Path

    from offerlake import files

    copy = Path(tempfile.mkdtemp(prefix="offerlake-report-")) / uri.rpartition("/")[2]
    copy.write_bytes(files.read_bytes(spark, uri))
    return str(copy)


def _contract(name: str) -> Table:
    from offerlake.errors import ConfigError, SchemaError
    from offerlake.schemas import table

    try:
        return table(name)
    except SchemaError as error:  # on the command line a name that does not exist is wrong usage
        raise ConfigError(error.message, fix=error.fix) from None


def _print_tables(contracts: list[Table]) -> None:
    from rich.console import Console
    from rich.table import Table as Grid

    grid = Grid("table", "layer", "one row is", "key")
    for contract in contracts:
        grid.add_row(contract.name, contract.layer, contract.grain, ", ".join(contract.key))
    Console().print(grid)


def _print_columns(contract: Table) -> None:
    from rich.console import Console
    from rich.table import Table as Grid

    grid = Grid("column", "type", "null", "meaning", title=f"{contract.layer}/{contract.name}: {contract.grain}")
    for column in contract.columns:
        grid.add_row(column.name, column.type, "yes" if column.null else "", column.meaning)
    Console().print(grid)


def _print_rows(names: list[str], rows: list[dict[str, Any]]) -> None:
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table as Grid

    console = Console()
    if len(names) <= _WIDE:
        grid = Grid(*names)
        for row in rows:
            grid.add_row(*(escape(str(row[name])) for name in names))
        console.print(grid)
        return
    for number, row in enumerate(rows, start=1):
        console.rule(f"row {number}")
        for name in names:
            console.print(f"{name}: {row[name]}", markup=False, highlight=False)
