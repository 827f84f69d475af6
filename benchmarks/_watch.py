"""Runs a command in a process group of its own and watches what it takes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pyspark.sql import SparkSession

from offerlake.config import load_settings

_FORKED = 0.1  # seconds


@dataclass(frozen=True)
class Taken:
    """Seconds, and the largest memory of all processes together in MB (proportional set size: shared pages once)."""

    seconds: float
    peak_mb: int


def watch(*arguments: str) -> Taken:
    """`offerlake` with these arguments; what it prints goes to stderr.

    Raises:
        SystemExit: It ends with another code than 0.
    """
    return watch_command([sys.executable, "-m", "offerlake", *arguments])


def watch_command(command: list[str], *, every: float = 5) -> Taken:
    """Any command, likewise; its memory is looked at every so many seconds, which takes time of its own."""
    begun, peak = time.monotonic(), 0
    process = subprocess.Popen(command, stdout=sys.stderr, start_new_session=True)
    while process.poll() is None:
        peak = max(peak, _memory(process.pid))
        with suppress(subprocess.TimeoutExpired):
            process.wait(every)
    if process.returncode:
        sys.exit(process.returncode)
    return Taken(round(time.monotonic() - begun, 1), peak // 1024)


def watch_side(script: str, side: str, folder: Path) -> tuple[Any, int]:
    """Runs a script again, with its own arguments and `--side`: what it left at `answer_of(folder)`, its peak in MB."""
    taken = watch_command([sys.executable, script, *sys.argv[1:], "--side", side], every=2)
    return json.loads(answer_of(folder).read_text(encoding="utf-8")), taken.peak_mb


def plain_session() -> SparkSession:
    """Spark as it comes, with the cores and the memory of conf/local.yaml: what a peer runs in."""
    settings = load_settings(["local"], [], env={}).spark
    builder = SparkSession.builder.master(str(settings.master)).config(
        "spark.driver.memory", str(settings.driver_memory)
    )
    return builder.config("spark.ui.enabled", "false").getOrCreate()


def _age(process: Path) -> float:
    """Seconds since a process began."""
    begun = int((process / "stat").read_text(encoding="ascii").rpartition(")")[2].split()[19])
    return float(Path("/proc/uptime").read_text(encoding="ascii").split()[0]) - begun / os.sysconf("SC_CLK_TCK")


def answer_of(folder: Path) -> Path:
    """Where a side leaves what it found, as JSON."""
    return folder / "side.json"


def _memory(session: int) -> int:
    """KB of all processes of a session.

    Not of those just forked: until they run a program of their own their memory is their parent's, counted there.
    """
    total = 0
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            if os.getsid(int(folder.name)) == session and _age(folder) > _FORKED:
                lines = (folder / "smaps_rollup").read_text(encoding="ascii").splitlines()
                total += sum(int(line.split()[1]) for line in lines if line.startswith("Pss:"))
        except (OSError, ValueError):  # it has ended
            continue
    return total
