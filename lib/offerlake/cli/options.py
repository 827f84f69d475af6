"""Options that several commands have."""

from __future__ import annotations

from typing import Annotated

import typer

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
