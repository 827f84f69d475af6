"""`offerlake stream`: ingesting without end."""

from __future__ import annotations

import time

from offerlake.cli.group import Answer
from offerlake.cli.options import Config, Json, Lake, Landing, Sets, Source
from offerlake.cli.progress import note


def stream(
    lake: Lake = None,
    landing: Landing = None,
    source: Source = None,
    config: Config = None,
    sets: Sets = None,
    json: Json = False,
) -> Answer:
    """Ingest files and messages as they come, until Ctrl-C or SIGTERM; it goes on where it was."""
    import typer

    from offerlake.config import load_settings
    from offerlake.ingest.kafka import check_servers
    from offerlake.ingest.mapping import load_source
    from offerlake.session import open_session

    begun = time.monotonic()
    places = {"run.lake": lake, "run.landing": landing, "run.source": source}
    settings = load_settings(config or [], sets or [], given=places)
    check_servers(load_source(settings.run.source), settings.ingest.kafka)
    from offerlake import stream as made

    counts = made.stream(open_session(settings.spark, app="stream"), settings, tell=note)
    seconds = round(time.monotonic() - begun, 1)
    if not json:
        typer.echo(f"Stopped after {seconds} s: {counts.get('rows_in', 0)} records came in.")
    return Answer({"lake": settings.run.lake, "seconds": seconds, **counts})
