"""The wheel carries jobs and settings, and its commands work from it alone, in any folder."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def unpacked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel's content, as an installer would lay it into site-packages."""
    folder = tmp_path_factory.mktemp("wheel")
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder / "dist")], cwd=ROOT, check=True
    )
    (wheel,) = (folder / "dist").glob("*.whl")
    with zipfile.ZipFile(wheel) as content:
        content.extractall(folder / "site")
    return folder / "site"


def _from_wheel(site: Path, *arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "offerlake", *arguments],
        cwd=cwd,
        env={**os.environ, "PYTHONPATH": str(site)},
        capture_output=True,
        text=True,
        check=False,
    )


def test_the_wheel_has_every_job_every_setting_and_no_leftovers(unpacked: Path) -> None:
    package = unpacked / "offerlake"
    for ours, packed in ((ROOT / "jobs", "_jobs"), (ROOT / "conf", "_conf")):
        files = {path.relative_to(ours) for path in ours.rglob("*") if path.suffix in {".py", ".yaml", ".sh"}}
        assert files == {path.relative_to(package / packed) for path in (package / packed).rglob("*") if path.is_file()}
    assert (package / "py.typed").is_file()
    assert not list(unpacked.rglob("*.pyc"))


def test_its_commands_work_from_another_folder(unpacked: Path, tmp_path: Path) -> None:
    where = "import offerlake, sys; sys.exit(offerlake.__file__)"
    done = subprocess.run(
        [sys.executable, "-c", where],
        cwd=tmp_path,
        env={"PYTHONPATH": str(unpacked)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stderr.strip() == str(unpacked / "offerlake" / "__init__.py")

    assert "demo" in _from_wheel(unpacked, "--help", cwd=tmp_path).stdout
    shown = json.loads(_from_wheel(unpacked, "config", "show", "--config", "demo", "--json", cwd=tmp_path).stdout)
    assert shown["demo"]["budget_per_user"] > 0
    tables = json.loads(_from_wheel(unpacked, "tables", "--json", cwd=tmp_path).stdout)
    assert "user_offers" in tables


def test_its_pipeline_is_that_of_the_checkout(unpacked: Path, tmp_path: Path) -> None:
    code = "from offerlake import pipeline; print(*pipeline.load_jobs())"
    lists = [
        subprocess.run(
            [sys.executable, "-c", code],
            cwd=tmp_path,
            env={**os.environ, **env},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for env in ({"PYTHONPATH": str(unpacked)}, {"PYTHONPATH": str(ROOT / "lib")})
    ]
    assert lists[0] == lists[1]
    assert "assign_offers" in lists[0]
