"""The JARs: versions as installed, fetched whole or not at all."""

from __future__ import annotations

import importlib.metadata
import subprocess
from pathlib import Path

import pytest

from offerlake import jars
from offerlake.errors import EnvironmentProblem


def test_the_coordinates_follow_the_installed_version() -> None:
    assert f"io.delta:delta-spark_4.2_2.13:{importlib.metadata.version('delta-spark')}" in jars.coordinates()


def test_setup_has_fetched_them() -> None:
    names = [path.name for path in jars.installed()]
    assert any(name.startswith("delta-spark_") for name in names)
    assert any(name.startswith("delta-storage-") for name in names)
    assert any(name.startswith("kafka-clients-") for name in names)
    assert not [name for name in names if name.startswith(("spark-sql_", "spark-core_", "scala-library"))]


def test_one_that_is_missing_makes_all_missing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(jars, "jars_dir", lambda: tmp_path)
    (tmp_path / "delta-storage-4.4.0.jar").write_bytes(b"")
    assert jars.installed() == []


def test_without_a_network_the_fix_is_told_and_nothing_left(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    target = tmp_path / "jars"
    monkeypatch.setattr(jars, "jars_dir", lambda: target)

    def unresolved(command: list[str], **_: object) -> subprocess.CompletedProcess[str]:
        return subprocess.CompletedProcess(command, 1, "", "x\n:: unresolved dependency: io.delta#delta-spark\n")

    monkeypatch.setattr(subprocess, "run", unresolved)
    with pytest.raises(EnvironmentProblem, match="unresolved dependency: io") as caught:
        jars.fetch()
    assert str(target) in caught.value.fix
    assert not target.exists()
