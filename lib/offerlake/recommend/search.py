"""A search for the settings of ALS: Optuna's tree-structured Parzen estimator (Bergstra et al. 2011), seeded."""

from __future__ import annotations

import math
from collections.abc import Callable

from offerlake.config import RecommendSettings

WHOLE, SCALED = ("rank",), ("alpha", "regularisation", "half_life_days")
"""What is tried: whole numbers, and others; all on a logarithmic scale."""


def search(
    settings: RecommendSettings, worth: Callable[[int, RecommendSettings], float | None], *, seed: int
) -> RecommendSettings:
    """The best of `settings.search.trials` settings; the first are those given, and of equal ones the earlier stay.

    Args:
        settings: Where the search begins, and its ranges.
        worth: Number of the trial, from 0, and its settings to what is to be high; None: cannot be said.
        seed: Of what is tried.
    """
    import optuna

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    study = optuna.create_study(direction="maximize", sampler=optuna.samplers.TPESampler(seed=seed))
    study.enqueue_trial({name: getattr(settings, name) for name in (*WHOLE, *SCALED)})
    best, highest = settings, -math.inf
    for number in range(settings.search.trials):
        trial = study.ask()
        drawn: dict[str, float] = {}
        for name in (*WHOLE, *SCALED):
            low, high = _range(settings, name)
            if name in WHOLE:
                drawn[name] = trial.suggest_int(name, int(low), int(high), log=True)
            else:
                drawn[name] = trial.suggest_float(name, low, high, log=True)
        tried = settings.model_copy(update=drawn)
        value = worth(number, tried)
        study.tell(trial, -math.inf if value is None else value)
        if value is not None and value > highest:
            best, highest = tried, value
    return best


def _range(settings: RecommendSettings, name: str) -> tuple[float, float]:
    """The range that is searched; it has the present value in it."""
    low, high = getattr(settings.search, name)
    return min(low, getattr(settings, name)), max(high, getattr(settings, name))
