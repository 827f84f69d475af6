"""Products for users' factors without looking at every product: inverted lists by FAISS (Jégou, Douze and Schmid 2011).

Products are sorted into lists around the centres of k-means; for a user the products of the lists with the best
centres are looked at (`IVFFlat`, inner product). What lies in other lists is missed: `recommend.approximate.recall`
says how much.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from offerlake.config import ApproximateSettings

_PER_CENTRE = 64  # products a centre that k-means learns from at most


@dataclass(frozen=True)
class Nearest:
    """An index of products.

    Attributes:
        index: As FAISS writes it.
        probes: Lists that are looked at for a user.
        found: So many times the products that are wanted are found, for filters to leave enough.
    """

    index: bytes
    probes: int
    found: int

    @classmethod
    def of(cls, factors: npt.NDArray[np.float32], settings: ApproximateSettings, *, seed: int) -> Nearest:
        """Sorts products, of which there is one at least, into about 4·√products lists.

        Args:
            factors: Products × rank, as they are scored.
            settings: probes, found.
            seed: Of k-means.
        """
        import faiss

        faiss.omp_set_num_threads(1)  # sums in one order: the same lists on any machine
        size, rank = factors.shape
        lists = max(1, min(int(4 * size**0.5), size // 4))
        index = faiss.IndexIVFFlat(faiss.IndexFlatIP(rank), rank, lists, faiss.METRIC_INNER_PRODUCT)
        index.cp.seed, index.cp.min_points_per_centroid, index.cp.max_points_per_centroid = seed % 2**31, 1, _PER_CENTRE
        index.train(factors)
        index.add(factors)
        return cls(faiss.serialize_index(index).tobytes(), settings.probes, settings.found)

    def __call__(
        self, factors: npt.NDArray[np.float32], k: int
    ) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float32]]:
        """The best `found` × k products that are found for each user: their places (−1: no more), and scores."""
        points, places = self._index.search(factors, self.found * k)
        return places, points

    @cached_property
    def _index(self) -> Any:
        import faiss

        faiss.omp_set_num_threads(1)  # each task has one core
        index: Any = faiss.deserialize_index(np.frombuffer(self.index, dtype=np.uint8))
        index.nprobe = self.probes
        return index
