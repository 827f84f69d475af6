"""`offerlake doctor`."""

from __future__ import annotations

from typing import Annotated

import typer

from offerlake.cli.group import Answer
from offerlake.cli.options import Config, Json, Lake, Sets


def doctor(
    quick: Annotated[bool, typer.Option("--quick", help="Do not start Spark.")] = False,
    lake: Lake = None,
    config: Config = None,
    sets: Sets = None,
    json: Json = False,
) -> Answer:
    """Say what this machine has of Java, Spark, Delta, Horovod, torch, GPU, disk and memory, and how to mend it."""
    from offerlake.config import load_settings
    from offerlake.doctor import examine

    checks = examine(load_settings(config or [], sets or [], given={"run.lake": lake}), start=not quick)
    healthy = all(check.ok or not check.needed for check in checks)
    if not json:
        for check in checks:
            sign = "ok" if check.ok else "MISSING" if check.needed else "no"
            typer.echo(f"{sign:<8} {check.name:<10} {check.found}")
            if not check.ok:
                typer.echo(f"{'':<19} {check.fix}")
        typer.echo("All that is needed is there." if healthy else "Something that is needed is missing.")
    return Answer({"ok": healthy, "checks": [check.as_dict() for check in checks]}, code=0 if healthy else 1)
