"""YAML files that a setting names, in a folder of `conf/` or by their path: found, read, their keys looked at."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import yaml

from offerlake.config import conf_dir
from offerlake.errors import ConfigError, nearest


def named_file(folder: str, name: str) -> Path:
    """Where it lies: `conf/<folder>/<name>.yaml`, or the path itself."""
    named = conf_dir() / folder / f"{name}.yaml"
    return named if named.is_file() else Path(name)


def read_named(folder: str, name: str, *, setting: str, what: str) -> Any:
    """What it holds.

    Args:
        folder: Of `conf/`.
        name: As the setting says it.
        setting: The setting, for messages.
        what: What the file is, for messages.

    Raises:
        ConfigError: The file cannot be read, or is not YAML.
    """
    path = named_file(folder, name)
    try:
        return yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        there = sorted(file.stem for file in (conf_dir() / folder).glob("*.yaml"))
        raise ConfigError(
            f"{setting}: {name!r}: {error.strerror}", fix=f"Give a YAML file, or one of {', '.join(there)}."
        ) from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ConfigError(f"{what} {path}: not YAML: {error}", fix="Mend the line it names.") from None


def check_known(keys: Iterable[Any], right: Iterable[str], *, where: str, what: str) -> None:
    """Stops at a key that there is none of.

    Raises:
        ConfigError: It names the nearest right one.
    """
    names = list(right)
    for key in keys:
        if key not in names:
            raise ConfigError(f"{where}: unknown {what} {key!r}", fix=nearest(str(key), names))
