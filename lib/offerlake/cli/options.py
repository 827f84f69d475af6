"""Options that several commands have, and the settings that come of them."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from offerlake.config import Settings

Config = Annotated[
    list[str] | None, typer.Option("--config", metavar="FILE|NAME", help="Overlay: a YAML file, or a name in conf/.")
]
Sets = Annotated[list[str] | None, typer.Option("--set", metavar="A.B=VALUE", help="One setting, the value as YAML.")]
Lake = Annotated[str | None, typer.Option("--lake", metavar="DIR", help="Folder or URI of the Delta tables.")]
Landing = Annotated[str | None, typer.Option("--landing", metavar="DIR", help="Folder or URI of the raw feeds.")]
Source = Annotated[
    str | None,
    typer.Option("--source", metavar="FILE|NAME", help="Mapping of the feeds: a file, or conf/sources/NAME."),
]
Truth = Annotated[
    str | None, typer.Option("--truth", metavar="DIR", help="Of a test shop: what is true; evaluate alone reads it.")
]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object on stdout and nothing else.")]


def settings_of(
    config: list[str] | None,
    sets: list[str] | None,
    *,
    lake: str | None = None,
    landing: str | None = None,
    source: str | None = None,
    truth: str | None = None,
) -> Settings:
    """The settings, with what the options say about places over all else.

    Raises:
        ConfigError: A setting is unknown or out of range.
    """
    from offerlake.config import load_settings

    places = {"run.lake": lake, "run.landing": landing, "run.source": source, "evaluate.truth": truth}
    chosen = [f"{name}={json.dumps(value)}" for name, value in places.items() if value is not None]
    return load_settings(config or [], [*(sets or []), *chosen])
