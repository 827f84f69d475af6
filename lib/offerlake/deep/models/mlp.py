"""A multilayer perceptron over numbers and embedded categories."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn


class Mlp(nn.Module):
    """logit = W·ReLU(… ReLU(W₁·[numbers, embeddings] + b₁)) + b.

    Args:
        width: Numbers a row.
        cards: Codes of each category.
        embedding: Width of each category's embedding.
        hidden: Widths of the layers.
    """

    def __init__(self, *, width: int, cards: Sequence[int], embedding: int, hidden: Sequence[int]) -> None:
        super().__init__()
        tables = [nn.Embedding(card, embedding) for card in cards]
        for table in tables:
            nn.init.normal_(table.weight, std=0.05)
        self.embeddings = nn.ModuleList(tables)
        layers: list[nn.Module] = []
        inputs = width + embedding * len(cards)
        for outputs in hidden:
            layers += [nn.Linear(inputs, outputs), nn.ReLU()]
            inputs = outputs
        self.layers = nn.Sequential(*layers, nn.Linear(inputs, 1))

    def forward(self, numbers: Tensor, codes: Tensor) -> Tensor:
        """Log-odds of the label, (rows,), from numbers (rows, width) and codes (rows, categories)."""
        embedded = [table(codes[:, place]) for place, table in enumerate(self.embeddings)]
        logits: Tensor = self.layers(torch.cat([numbers, *embedded], dim=1))
        return logits.squeeze(1)
