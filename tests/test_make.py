"""What `make` says on a machine where something is missing: one line, with what to install."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
TOOLS = ("bash", "sh", "sed", "cat", "env", "dirname", "basename", "uname", "readlink", "touch", "mkdir")


@pytest.fixture
def machine(tmp_path: Path) -> Path:
    """A copy of what `make setup` reads, and `bin` with all there is on the machine: no Python, Java or compiler."""
    for name in ("Makefile", "pyproject.toml", "requirements.lock"):
        shutil.copy(ROOT / name, tmp_path)
    (tmp_path / "lib/offerlake").mkdir(parents=True)
    for name in ("jars.py", "blas.py"):
        shutil.copy(ROOT / "lib/offerlake" / name, tmp_path / "lib/offerlake")
    (tmp_path / "bin").mkdir()
    for name in TOOLS:
        if found := shutil.which(name):
            (tmp_path / "bin" / name).symlink_to(found)
    _program(tmp_path, "uv", "exit 9")
    return tmp_path


def _program(machine: Path, name: str, script: str) -> None:
    path = machine / "bin" / name
    path.write_text(f"#!/bin/sh\n{script}\n", encoding="utf-8")
    path.chmod(0o755)


def _setup(machine: Path) -> str:
    make = shutil.which("make")
    assert make is not None
    done = subprocess.run(
        [make, "setup"],
        cwd=machine,
        env={"PATH": str(machine / "bin"), "HOME": os.environ.get("HOME", "/")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert not (machine / ".venv").exists()
    first, last = done.stderr.splitlines()
    assert last.startswith("make: ***")
    return first


def test_each_missing_thing_is_named_in_one_line(machine: Path) -> None:
    assert _setup(machine).startswith("missing: Python 3.11 (on Debian: apt-get install python3.11-dev")
    # A Python 3.11 with its headers, as far as anybody asks.
    headers = 'case "$2" in *Python.h*) exit 0;; esac; exit 0'
    _program(machine, "python3.11", headers)
    assert _setup(machine).startswith("missing: a JDK 17 (on Debian: apt-get install openjdk-17-jdk-headless")
    _program(machine, "java", "echo 'openjdk version \"11.0.2\"' >&2")
    assert _setup(machine).startswith("missing: a JDK 17")
    _program(machine, "java", "echo 'openjdk version \"17.0.2\"' >&2")
    assert _setup(machine) == "missing: the C++ compiler that Horovod is built with (on Debian: apt-get install g++)"


def test_headers_of_python_are_asked_for(machine: Path) -> None:
    _program(machine, "python3.11", 'case "$2" in *Python.h*) exit 1;; esac; exit 0')
    assert _setup(machine).startswith("missing: the headers of Python 3.11 that Horovod is built with")
