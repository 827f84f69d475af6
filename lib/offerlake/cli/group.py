"""How every command ends: its lines for people or its one JSON object, errors without a stack trace, the exit code."""

from __future__ import annotations

import json
import math
import os
import sys
import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import typer
from typer.core import TyperGroup

from offerlake.errors import OfferlakeError

# Click's UsageError, which typer does not export.
_UsageError: type[Any] = typer.BadParameter.__bases__[0]


@dataclass(frozen=True)
class Answer:
    """What a command returns: the object that `--json` prints, and the exit code."""

    content: Mapping[str, Any]
    code: int = 0


class Commands(TyperGroup):
    """The group of all commands."""

    def main(self, *args: Any, **extra: Any) -> Any:
        """Runs the command that the arguments name and ends the process with its exit code."""
        given = extra.pop("args", args[0] if args else None)
        arguments = [*(sys.argv[1:] if given is None else given)]
        extra |= {"args": arguments, "standalone_mode": False, "prog_name": "offerlake"}
        as_json = "--json" in arguments
        with _stdout_kept(wanted=as_json):
            content, code = _ended(lambda: super(Commands, self).main(**extra))
        if as_json and content is not None:
            sys.stdout.write(dumped(content) + "\n")
        elif content is not None and "error" in content:
            error = content["error"]
            sys.stderr.write(f"{error['kind']}: {error['message']}\n{error['fix']}".rstrip() + "\n")
        sys.exit(code)


def _ended(command: Callable[[], Any]) -> tuple[Mapping[str, Any] | None, int]:
    """Calls the command; returns what `--json` prints (None: nothing) and the exit code."""
    try:
        result = command()
    except _UsageError as error:
        if type(error).__name__ == "NoArgsIsHelpError":
            error.show()
            return None, 2
        path = error.ctx.command_path if error.ctx else "offerlake"
        return _error("UsageError", error.format_message(), f"See {path} --help."), 2
    except OfferlakeError as error:
        return {"error": error.as_dict()}, error.exit_code
    except Exception as error:  # noqa: BLE001  the last catch of the process
        return _unforeseen(error), 1
    if isinstance(result, Answer):
        return result.content, result.code
    return None, result if isinstance(result, int) else 0


def _unforeseen(error: Exception) -> dict[str, Any]:
    if isinstance(error, typer.Abort):
        return _error("Interrupted", "stopped by the user", "Run it again: it goes on where it was.")
    if "No space left on device" in str(error):
        return _error("EnvironmentProblem", "no space left on device", "Free space and run again.")
    # Not a user's mistake that we know of: the trace is what a report of the bug needs.
    traceback.print_exc(file=sys.stderr)
    first = str(error).strip().partition("\n")[0][:500]
    return _error(type(error).__name__, first, "The trace on stderr says where; please report it.")


def _error(kind: str, message: str, fix: str) -> dict[str, Any]:
    return {"error": {"kind": kind, "message": message, "fix": fix}}


@contextmanager
def _stdout_kept(*, wanted: bool) -> Iterator[None]:
    """While the command runs, all that it, Spark's JVM or a worker prints to stdout goes to stderr."""
    if not wanted:
        yield
        return
    sys.stdout.flush()
    kept = os.dup(1)
    os.dup2(2, 1)
    try:
        yield
    finally:
        sys.stdout.flush()
        os.dup2(kept, 1)
        os.close(kept)


def dumped(content: Any) -> str:
    """JSON, in which what is not a finite number is null."""
    return json.dumps(_plain(content), ensure_ascii=False, allow_nan=False, default=str)


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
