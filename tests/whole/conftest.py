"""One finished demo for all, and the environment that is shipped to executors."""

from __future__ import annotations

import json
import subprocess
import sys
import sysconfig
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import venv_pack
from pyspark.sql import SparkSession
from typer.testing import CliRunner

from conftest import TEST_SETS
from offerlake.cli import app
from offerlake.tables import Lake

ROOT = Path(__file__).parents[2]
USERS, DAY = 300, "2025-09-04"
SETS = (
    f"simulate.users={USERS}",
    "simulate.products=100",
    # Dirt enough to be counted.
    "simulate.duplicates=0.02",
    "simulate.malformed=0.02",
    "simulate.unknown=0.02",
    "simulate.bots=0.1",
    "recommend.blocks=2",
    "deep.processes=2",
    "deep.epochs=1",
    "deep.start_timeout=120",
    "response.trees=2",
    "evaluate.bootstrap=20",
)
"""What makes a run short; all that can change a result, so that runs with them are the same run."""


@dataclass(frozen=True)
class Demo:
    """A finished demo: its folder, what `--json` printed, and its lake."""

    root: Path
    answer: dict[str, Any]
    lake: Lake


@dataclass(frozen=True)
class Shipped:
    """A packed environment, and the folder in which each process that imports its Offerlake leaves its id."""

    archive: Path
    imports: Path


def options(*sets: str) -> list[str]:
    """Settings as words of a command line."""
    return [word for setting in sets for word in ("--set", setting)]


def offerlake(*arguments: str) -> dict[str, Any]:
    """A command in the tests' own session; what its `--json` says."""
    done = CliRunner().invoke(app, [*arguments, "--json"])
    assert done.exit_code == 0, done.output
    return dict(json.loads(done.stdout))


@pytest.fixture(scope="package")
def demo(spark: SparkSession, tmp_path_factory: pytest.TempPathFactory) -> Demo:
    root = tmp_path_factory.mktemp("whole")
    answer = offerlake("demo", "--lake", str(root / "lake"), *options(*SETS, *TEST_SETS))
    return Demo(root, answer, Lake(spark, str(root / "lake")))


@pytest.fixture(scope="package")
def shipped(tmp_path_factory: pytest.TempPathFactory) -> Shipped:
    """An environment with Offerlake's wheel in it; the other packages are those of this machine.

    They lie beside an editable Offerlake, which an entry of sys.path, unlike a site folder, does not bring along.
    """
    root = tmp_path_factory.mktemp("shipped")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", root / "environment"], check=True)
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", root / "dist"]
    subprocess.run(build, cwd=ROOT, check=True, capture_output=True)
    site = root / "environment" / "lib" / "python3.11" / "site-packages"
    (wheel,) = (root / "dist").glob("*.whl")
    with zipfile.ZipFile(wheel) as content:
        content.extractall(site)
    (site / "sitecustomize.py").write_text(f"import sys\nsys.path.append({sysconfig.get_path('purelib')!r})\n")
    imports = root / "imports"
    imports.mkdir()
    with (site / "offerlake" / "__init__.py").open("a") as module:
        module.write(f"\nimport os, pathlib\npathlib.Path({str(imports)!r}, str(os.getpid())).write_text(__file__)\n")
    archive = root / "environment.tar.gz"
    venv_pack.pack(prefix=str(root / "environment"), output=str(archive))
    return Shipped(archive, imports)
