"""Models in the lake: each written anew under its own version, then a row in `ops/models` makes it the one in use."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from pyspark.sql import functions as F

from offerlake import files
from offerlake.errors import MissingTableError
from offerlake.schemas import table
from offerlake.tables import Lake


@dataclass(frozen=True)
class Model:
    """One version of a model: its folder (a URI) and the settings that made it."""

    name: str
    version: str
    path: str
    settings: dict[str, Any]

    @property
    def made_by(self) -> str:
        """The run that made it: the version without the attempt, which changes nothing."""
        return self.version.rpartition("-")[0]

    def file(self, name: str) -> str:
        """URI of a file or folder of the model."""
        return f"{self.path}/{name}"


class Artifacts:
    """The models of a lake, at `root/models/name/version`."""

    def __init__(self, lake: Lake) -> None:
        self._lake = lake

    def draft(self, name: str, version: str, settings: Mapping[str, Any]) -> Model:
        """A new, empty version to write files into; nobody sees it before `publish`."""
        path = f"{self._lake.root}/models/{name}/{version}"
        files.delete(self._lake.spark, path)
        return Model(name=name, version=version, path=path, settings=dict(settings))

    def publish(
        self,
        model: Model,
        *,
        run_id: str,
        inputs: Mapping[str, int],
        metrics: Mapping[str, float] | None = None,
        status: str = "live",
    ) -> None:
        """Points to a version that has been written: from now on `load` finds it (unless status is rejected)."""
        row = (
            model.name,
            model.version,
            model.path.removeprefix(self._lake.root + "/"),
            run_id,
            status,
            datetime.now(tz=UTC),
            json.dumps(model.settings, sort_keys=True, default=str),
            dict(inputs),
            dict(metrics or {}),
        )
        self._lake.write("models", self._lake.spark.createDataFrame([row], schema=table("models").struct))

    def load(self, name: str) -> Model:
        """The newest live version.

        Raises:
            MissingTableError: There is none.
        """
        if self._lake.exists("models"):
            live = self._lake.read("models").where((F.col("name") == name) & (F.col("status") == "live"))
            row = live.orderBy(F.desc("time"), F.desc("version")).select("version", "path", "settings").first()
            if row is not None:
                path = f"{self._lake.root}/{row['path']}"
                return Model(name=name, version=row["version"], path=path, settings=json.loads(row["settings"]))
        raise MissingTableError(f"model {name} does not exist in {self._lake.root}", fix="Run the job that trains it.")
