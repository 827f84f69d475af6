"""The doctor finds what is missing, and says how to mend it."""

from __future__ import annotations

import importlib.metadata
import json
import subprocess
import sys
from pathlib import Path

import pytest
from pyspark.sql import SparkSession

from offerlake import blas, doctor, jars, session
from offerlake.config import Settings, load_settings


@pytest.fixture
def found(settings: Settings, spark: SparkSession) -> dict[str, doctor.Check]:
    """All checks on this machine; the session is the tests' own."""
    assert spark.version
    return {check.name: check for check in doctor.examine(settings)}


def test_this_machine_is_well(found: dict[str, doctor.Check]) -> None:
    assert {name for name, check in found.items() if check.needed and not check.ok} == set()
    assert found["session"].found.endswith("wrote and read 3 rows of a Delta table")
    assert found["Horovod"].found == "0.28.1 with Gloo"
    assert all(check.as_dict()["fix"] == "" for check in found.values() if check.ok)
    assert {"Python", "Java", "Spark", "JARs", "BLAS", "torch", "GPU", "disk", "memory"} <= set(found)


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Torch and Horovod answer at once: their real answers are looked at once above."""
    monkeypatch.setattr(doctor, "_other_process", lambda _: (0, "0.28.1 with Gloo"))


@pytest.mark.usefixtures("quick")
def test_missing_java_stops_the_session_check(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(session, "java_version", lambda: None)
    found = {check.name: check for check in doctor.examine(settings)}
    assert (found["Java"].ok, found["Java"].needed, found["Java"].found) == (False, True, "not found")
    assert "JDK 17" in found["Java"].fix
    assert "session" not in found


@pytest.mark.usefixtures("quick")
def test_an_old_java_is_told(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(session, "java_version", lambda: 11)
    found = {check.name: check for check in doctor.examine(settings, start=False)}
    assert not found["Java"].ok
    assert found["Java"].found == "version 11"


@pytest.mark.usefixtures("quick")
def test_missing_jars_are_told(settings: Settings, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(jars, "jars_dir", lambda: tmp_path)
    found = {check.name: check for check in doctor.examine(settings, start=False)}
    assert not found["JARs"].ok
    assert "python -m offerlake.jars" in found["JARs"].fix


@pytest.mark.usefixtures("quick")
def test_a_blas_that_cannot_be_made_is_told_and_not_needed(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(blas, "own_dir", lambda _: tmp_path / "file" / "below")
    (tmp_path / "file").touch()
    found = {check.name: check for check in doctor.examine(settings, start=False)}
    assert (found["BLAS"].ok, found["BLAS"].needed) == (False, False)
    assert found["BLAS"].fix == "Make the folder writable."


@pytest.mark.usefixtures("quick")
def test_horovod_is_needed_by_the_deep_model_only(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    version = importlib.metadata.version

    def without(name: str) -> str:
        if name in {"horovod", "torch"}:
            raise importlib.metadata.PackageNotFoundError(name)
        return version(name)

    monkeypatch.setattr(importlib.metadata, "version", without)
    shallow = load_settings([], ["deep.enabled=false"], env={})
    for wanted, chosen in ((True, settings), (False, shallow)):
        found = {check.name: check for check in doctor.examine(chosen, start=False)}
        assert (found["Horovod"].ok, found["Horovod"].needed) == (False, wanted)
        assert "deep.enabled=false" in found["Horovod"].fix


def test_a_horovod_that_does_not_load_is_told(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "_other_process", lambda code: (1, f"ImportError: no symbol, in {code[:6]}"))
    found = {check.name: check for check in doctor.examine(settings, start=False)}
    assert found["Horovod"].found.startswith("ImportError")
    assert not found["Horovod"].ok
    assert "make setup" in found["Horovod"].fix


@pytest.mark.usefixtures("quick")
def test_a_full_disk_is_told(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "_DISK_GIB", 10**9)
    found = {check.name: check for check in doctor.examine(settings, start=False)}
    assert not found["disk"].ok
    assert found["disk"].needed


def test_the_command_ends_with_1_where_something_is_missing(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "offerlake", "doctor", "--quick", "--json", "--set", "deep.enabled=false"],
        env={"PATH": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    content = json.loads(done.stdout)
    assert done.returncode == 1
    assert content["ok"] is False
    assert [check["name"] for check in content["checks"] if check["needed"] and not check["ok"]] == ["Java"]
