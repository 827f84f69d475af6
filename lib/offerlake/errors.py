"""The few ways in which Offerlake fails on purpose.

Each error is also a builtin, names the setting, table or column, the value it got and what would be right,
and carries the exit code with which the command line ends.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class OfferlakeError(Exception):
    """Base of all errors that are a user's to mend.

    Args:
        message: What was wrong, with the name and the value got.
        fix: What would be right, in one sentence.
    """

    exit_code = 1

    def __init__(self, message: str, *, fix: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.fix = fix

    @property
    def kind(self) -> str:
        """Name of the class, as printed with `--json`."""
        return type(self).__name__

    def as_dict(self) -> dict[str, str]:
        """What `--json` prints under `error`."""
        return {"kind": self.kind, "message": self.message, "fix": self.fix}


class ConfigError(OfferlakeError, ValueError):
    """A setting, option or mapping is wrong; found before Spark starts."""

    exit_code = 2


class DataError(OfferlakeError, ValueError):
    """The data cannot be worked with: a feed is missing, a file is empty, a column has the wrong type."""


class SchemaError(DataError):
    """A table is not what its schema says, or was written by another schema version."""


class MissingTableError(OfferlakeError, LookupError):
    """A table or model that a job reads has not been written yet."""


class EnvironmentProblem(OfferlakeError, RuntimeError):
    """The machine lacks something: Java, a JAR, Horovod, torch, disk space."""


class GateError(OfferlakeError, RuntimeError):
    """A quality gate refused to go on."""

    exit_code = 3


def nearest(name: str, names: Iterable[str]) -> str:
    """The fix for an unknown name: a sentence with the nearest right one, or all of them."""
    there = list(names)
    near = difflib.get_close_matches(name.lower(), there, n=1)
    return f"Did you mean {near[0]}?" if near else f"There are {', '.join(there)}."
