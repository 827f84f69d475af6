"""Where the time of a run went: what Spark's tasks took, by job."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Collection
from pathlib import Path


def logged_to(folder: Path) -> list[str]:
    """Options of `offerlake` with which Spark logs its events to a folder, which must be there."""
    wanted = f'{{spark.eventLog.enabled: "true", spark.eventLog.dir: "{folder}", spark.eventLog.compress: "false"}}'
    return ["--set", f"spark.conf={wanted}"]


def core_seconds(folder: Path, jobs: Collection[str]) -> dict[str, float]:
    """Job to what its tasks took in all, in seconds of a core, and `other`; of the one run logged to the folder."""
    job: dict[int, str] = {}
    taken: dict[str, float] = defaultdict(float)
    for file in sorted(folder.glob("eventlog_v2_*/events_*")):
        with file.open(encoding="utf-8") as lines:
            for event in map(json.loads, lines):
                if event["Event"] == "SparkListenerStageSubmitted":
                    said = event["Properties"].get("spark.job.description", "")
                    job[event["Stage Info"]["Stage ID"]] = next((name for name in jobs if name in said), "other")
                elif event["Event"] == "SparkListenerTaskEnd":
                    info = event["Task Info"]
                    taken[job[event["Stage ID"]]] += (info["Finish Time"] - info["Launch Time"]) / 1000
    return {name: round(seconds, 1) for name, seconds in taken.items()}
