"""A small test shop's landing folder, and the environment that is shipped to executors."""

from __future__ import annotations

import subprocess
import sys
import sysconfig
import zipfile
from dataclasses import dataclass
from pathlib import Path

import pytest
import venv_pack
from pyspark.sql import SparkSession

from offerlake.config import Settings
from offerlake.simulate import simulate_shop

ROOT = Path(__file__).parents[2]
USERS = 300


@dataclass(frozen=True)
class Shipped:
    """A packed environment, and the folder in which each process that imports its Offerlake leaves its id."""

    archive: Path
    imports: Path


@pytest.fixture(scope="package")
def landing(spark: SparkSession, settings: Settings, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The feeds of 300 users."""
    root = tmp_path_factory.mktemp("shop")
    small = settings.model_copy(update={"simulate": settings.simulate.model_copy(update={"users": USERS})})
    simulate_shop(spark, small, landing=str(root / "landing"), truth=str(root / "truth"))
    return root / "landing"


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
