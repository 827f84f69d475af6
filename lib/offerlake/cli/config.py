"""`offerlake config`: what the settings come to, and whether they are right."""

from __future__ import annotations

import typer

from offerlake.cli.group import Answer
from offerlake.cli.options import Config, Json, Sets

app = typer.Typer(help="Show or check the settings.", no_args_is_help=True)


@app.command()
def show(config: Config = None, sets: Sets = None, json: Json = False) -> Answer:
    """Print every setting as base.yaml, overlays, environment and --set make it."""
    import yaml

    from offerlake.config import load_settings

    content = load_settings(config or [], sets or []).model_dump(mode="json")
    if not json:
        typer.echo(yaml.safe_dump(content, sort_keys=False, allow_unicode=True), nl=False)
    return Answer(content)


@app.command()
def check(config: Config = None, sets: Sets = None, json: Json = False) -> Answer:
    """Check the settings without starting Spark."""
    from offerlake.config import load_settings

    settings = load_settings(config or [], sets or [])
    if not json:
        typer.echo(f"The settings are right; their hash is {settings.hash}.")
    return Answer({"ok": True, "hash": settings.hash})
