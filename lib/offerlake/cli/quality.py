"""`offerlake quality`: whether a file of expectations is right."""

from __future__ import annotations

from typing import Annotated

import typer

from offerlake.cli.group import Answer
from offerlake.cli.options import Config, Json, Sets

app = typer.Typer(help="Check what is expected of the tables.", no_args_is_help=True)


@app.command()
def check(
    expectations: Annotated[
        str | None,
        typer.Argument(metavar="[FILE|NAME]", help="A file, or a name in conf/expectations/; else the settings' own."),
    ] = None,
    config: Config = None,
    sets: Sets = None,
    json: Json = False,
) -> Answer:
    """Check expectations without starting Spark, and list them by table."""
    from offerlake.config import load_settings
    from offerlake.quality.expectations import load_expectations
    from offerlake.quality.judge import told

    settings = load_settings(config or [], sets or [], given={"quality.expectations": expectations})
    found = load_expectations(settings.quality)
    content = {
        table: [{"name": each.name, "severity": each.severity, "expected": told(each)} for each in expected]
        for table, expected in found.items()
    }
    if not json:
        for table, expected in content.items():
            for each in expected:
                typer.echo(f"{table}.{each['name']} ({each['severity']}): {each['expected']}")
        typer.echo(f"{sum(map(len, content.values()))} expectations of {len(content)} tables are right.")
    return Answer({"ok": True, "tables": content})
