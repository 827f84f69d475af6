"""Scores in Spark are the networks' own, each user's by the network that did not see him."""

from __future__ import annotations

import json

import numpy as np
import pyarrow as pa
import pytest
import torch
from pyspark.sql import DataFrame
from pyspark.sql import functions as F
from safetensors.torch import save

from deep.planted import DAYS, USERS
from offerlake import randomness
from offerlake.config import Settings
from offerlake.deep.encode import CATEGORICAL, NUMERIC, encode, learn
from offerlake.deep.models.mlp import Mlp
from offerlake.deep.score import FILES, DeepModel, score
from offerlake.errors import DataError


@pytest.fixture(scope="module")
def model(examples: DataFrame, settings: Settings) -> DeepModel:
    """Two untrained networks."""
    encoding, tensors = learn(examples, vocabulary=3), {}
    for number in range(2):
        torch.manual_seed(number)
        network = Mlp(width=encoding.width, cards=encoding.cards, embedding=8, hidden=[64, 32])
        tensors |= {f"{number}.{name}": tensor for name, tensor in network.state_dict().items()}
    return DeepModel(encoding, "responded", 7, 2, settings.deep, save(tensors))


def test_each_user_is_scored_by_the_network_of_his_fold(model: DeepModel, examples: DataFrame) -> None:
    fold = randomness.fold(7, "fold", 2, F.col("user_id"))
    rows = score(examples.withColumn("fold", fold), model).orderBy("exposure_id").limit(200).toPandas()
    numbers, codes = encode(model.encoding, pa.Table.from_pandas(rows[[*NUMERIC, *CATEGORICAL]]))
    by_network = []
    for number in range(2):
        torch.manual_seed(number)
        network = Mlp(width=numbers.shape[1], cards=model.encoding.cards, embedding=8, hidden=[64, 32]).double()
        with torch.no_grad():
            logits = network(torch.from_numpy(numbers).double(), torch.from_numpy(codes))
        by_network.append(torch.sigmoid(logits).numpy())
    expected = np.where(rows["fold"] == 0, *by_network)
    assert rows["p_deep"].tolist() == pytest.approx(expected, abs=1e-9)
    assert np.abs(by_network[0] - by_network[1]).min() > 1e-6
    assert rows["p_deep"].nunique() > 150


def test_scores_do_not_depend_on_the_partitioning(model: DeepModel, examples: DataFrame) -> None:
    def scores(frame: DataFrame) -> list[float]:
        return [row[0] for row in score(frame, model).orderBy("exposure_id").select("p_deep").collect()]

    assert scores(examples.repartition(5)) == scores(examples.coalesce(1))


def test_other_columns_and_rows_are_kept(model: DeepModel, examples: DataFrame) -> None:
    scored = score(examples, model, column="p")
    assert scored.columns == [*examples.columns, "p"]
    assert scored.where(F.col("p").between(0, 1)).count() == DAYS * USERS
    assert score(examples.limit(0), model).count() == 0


def test_a_model_survives_its_files(model: DeepModel) -> None:
    content = model.files()
    assert tuple(content) == FILES
    assert DeepModel.of(*content.values()) == model
    other = json.loads(content["spec.json"]) | {"columns": [*NUMERIC[1:], *CATEGORICAL]}
    with pytest.raises(DataError, match=f"other columns: \\['{NUMERIC[0]}'\\]"):
        DeepModel.of(json.dumps(other).encode(), model.weights)
