"""The command line `offerlake`. Commands import what they need when they run, so that `--help` is instant."""

from __future__ import annotations

import typer

from offerlake.cli import config, doctor, judge, look, quality, run, source, stream
from offerlake.cli.group import Commands

app = typer.Typer(
    cls=Commands,
    help="Clickstream and order logs in, per-user offers out. Exit codes: 0 done, 1 failed, 2 wrong usage or "
    "configuration, 3 a quality gate refused.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="rich",
)
app.command("run")(run.run)
app.command("stream")(stream.stream)
app.command("demo")(run.demo)
app.command("simulate")(run.simulate)
app.command("doctor")(doctor.doctor)
app.add_typer(config.app, name="config")
app.add_typer(source.app, name="source")
app.add_typer(quality.app, name="quality")
app.command("rank-eval")(judge.rank_eval)
app.command("uplift-eval")(judge.uplift_eval)
app.command("tables")(look.tables)
app.command("features")(look.features)
app.command("show")(look.show)
app.command("report")(look.report)
