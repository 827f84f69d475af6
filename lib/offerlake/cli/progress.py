"""How far a run is: a bar in a terminal, plain lines without one; on stderr, for stdout is the result's."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from offerlake.lanes import Progress


@contextmanager
def shown(*, lines: bool) -> Iterator[Callable[[Progress], None]]:
    """Yields what the pipeline tells its progress to; `lines` asks for plain lines in a terminal too."""
    if lines or not sys.stderr.isatty():
        yield _line
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, SpinnerColumn, TextColumn, TimeElapsedColumn
    from rich.progress import Progress as Bar

    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
    )
    with Bar(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("starting", total=None)

        def tell(step: Progress) -> None:
            done = step.number - (step.state == "start")
            bar.update(task, description=step.job, total=step.of, completed=done)
            if step.state != "start":
                bar.console.print(_text(step), highlight=False)

        yield tell


def note(text: str) -> None:
    """One line on stderr, about what is not a step of the pipeline."""
    sys.stderr.write(text + "\n")
    sys.stderr.flush()


def _line(step: Progress) -> None:
    if step.state != "start":
        note(_text(step))


def _text(step: Progress) -> str:
    width = len(str(step.of))
    end = "done before" if step.state == "skipped" else f"{step.seconds:.1f} s"
    return f"{step.number:>{width}}/{step.of} {step.job:<16} {end}"
