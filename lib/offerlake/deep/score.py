"""Scoring in Spark: batches of rows through the network of the user's fold, which never saw that user."""

from __future__ import annotations

import functools
import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from offerlake.config import DeepSettings
from offerlake.deep.encode import CATEGORICAL, NUMERIC, Encoding, encode
from offerlake.errors import DataError
from offerlake.randomness import fold

if TYPE_CHECKING:
    from offerlake.deep.models.mlp import Mlp

FILES = ("spec.json", "weights.safetensors")
"""Names of the two files of the model `deep`."""


@dataclass(frozen=True)
class DeepModel:
    """A trained model: how rows are encoded, the networks' shape, and the weights of every fold (safetensors)."""

    encoding: Encoding
    label: str
    seed: int
    folds: int
    settings: DeepSettings
    weights: bytes

    def files(self) -> dict[str, bytes]:
        """The model as files, by name."""
        spec = {
            "encoding": asdict(self.encoding),
            "label": self.label,
            "seed": self.seed,
            "folds": self.folds,
            "columns": [*NUMERIC, *CATEGORICAL],
            "settings": self.settings.model_dump(mode="json"),
        }
        return dict(zip(FILES, (json.dumps(spec, indent=1).encode(), self.weights), strict=True))

    @staticmethod
    def of(spec: bytes, weights: bytes) -> DeepModel:
        """The model from its files.

        Raises:
            DataError: It was trained on other columns than this version knows.
        """
        content = json.loads(spec)
        if content["columns"] != [*NUMERIC, *CATEGORICAL]:
            other = sorted(set(content["columns"]) ^ {*NUMERIC, *CATEGORICAL}) or "another order"
            raise DataError(f"model deep: trained on other columns: {other}", fix="Run the job train_deep again.")
        found = content["encoding"]
        return DeepModel(
            encoding=Encoding(
                means=tuple(found["means"]),
                scales=tuple(found["scales"]),
                vocabularies=tuple(tuple(values) for values in found["vocabularies"]),
            ),
            label=content["label"],
            seed=content["seed"],
            folds=content["folds"],
            settings=DeepSettings.model_validate(content["settings"]),
            weights=weights,
        )


def score(frame: DataFrame, model: DeepModel, *, column: str = "p_deep") -> DataFrame:
    """Adds P(the label | the row's offer) by the deep model.

    A row is scored by the network whose training left its user out (`randomness.fold` of `user_id`), so the scores are
    out-of-fold for users in the examples too. Rounded to 9 digits after the point: the batches, and with them the last
    bits, depend on the partitioning.

    Args:
        frame: Rows with `user_id` and the feature columns `encode.NUMERIC` and `encode.CATEGORICAL`, as in `examples`
            and as made by `features.offer_context`; other columns are kept as they are.
        model: From `DeepModel.of(spec, weights)`, the files `FILES` of the model `deep`.
        column: Name of the new column, a double from 0 to 1.
    """
    content = frame.sparkSession.sparkContext.broadcast(model)

    @F.arrow_udf("double")  # type: ignore[attr-defined,untyped-decorator]
    def probability(batches: Iterator[pa.Array]) -> Iterator[pa.Array]:
        for batch in batches:
            yield pa.array(_probabilities(content.value, pa.RecordBatch.from_struct_array(batch)))

    which = fold(model.seed, "fold", model.folds, F.col("user_id")).alias("fold")
    return frame.withColumn(column, F.round(probability(F.struct(*NUMERIC, *CATEGORICAL, which)), 9))


def _probabilities(model: DeepModel, batch: pa.RecordBatch) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    """(rows,) from a batch of the feature columns and `fold`."""
    import torch

    numbers, codes = (torch.from_numpy(part) for part in encode(model.encoding, batch))
    folds = np.asarray(batch.column("fold"))
    result = np.empty(batch.num_rows, dtype=np.float64)
    for number, network in enumerate(_networks(model)):
        rows = np.flatnonzero(folds == number)
        with torch.no_grad():
            result[rows] = torch.sigmoid(network(numbers[rows].double(), codes[rows])).numpy()
    return result


@functools.lru_cache(maxsize=2)
def _networks(model: DeepModel) -> list[Mlp]:
    """The networks of all folds, in double precision; made once a worker process and model."""
    import torch
    from safetensors.torch import load

    from offerlake.deep.models.mlp import Mlp

    torch.set_num_threads(1)
    tensors = load(model.weights)
    networks = []
    for number in range(model.folds):
        network = Mlp(
            width=model.encoding.width,
            cards=model.encoding.cards,
            embedding=model.settings.embedding,
            hidden=model.settings.hidden,
        )
        mark = f"{number}."
        network.load_state_dict({k.removeprefix(mark): v for k, v in tensors.items() if k.startswith(mark)})
        networks.append(network.double().eval())
    return networks
