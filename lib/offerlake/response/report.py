"""What is to be said of the trained models, as rows of the table `metrics`."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from offerlake.response.judge import Judged
from offerlake.response.train import Trained
from offerlake.response.uplift import ArmEffect, TrainedUplift


@dataclass(frozen=True)
class Metric:
    """One number; `part` is the metric's slice."""

    name: str
    value: float | None
    low: float | None = None
    high: float | None = None
    part: str = "all"


def tell(trained: Trained) -> Iterator[Metric]:
    """The numbers of the response model.

    `response.<x>` is the chosen engine's on the validation days, `response.<engine>.<x>` each candidate's,
    `response.test.<x>` the chosen one's on the test days; x is auc, log_loss, brier, calibration_slope. `response.bin`
    is the share with label 1 in ten groups by predicted probability (slice: group), `response.bin_predicted` what was
    predicted there; `response.rows` the examples by use.
    """
    chosen = trained.validation[trained.model.engine]
    yield from _told("response", chosen)
    for engine, judged in trained.validation.items():
        yield from _told(f"response.{'lr' if engine == 'logistic' else engine}", judged)
        yield Metric("response.chosen", float(engine == trained.model.engine), part=f"engine={engine}")
    if trained.test is not None:
        yield from _told("response.test", trained.test)
    for number, (rows, predicted, share) in enumerate((trained.test or chosen).bins):
        part = f"group={number}"
        error = 1.96 * (max(share * (1 - share), 1e-12) / rows) ** 0.5
        yield Metric("response.bin", share, low=max(0.0, share - error), high=min(1.0, share + error), part=part)
        yield Metric("response.bin_predicted", predicted, part=part)
    for use, number in trained.rows.items():
        yield Metric("response.rows", number, part=f"use={use}")


def tell_uplift(trained: TrainedUplift) -> Iterator[Metric]:
    """The numbers of the uplift model.

    `uplift.ate` is the mean effect of an offer against nothing on P(responded), by offer too; `uplift.slope` what
    held-out users confirm of the predictions (slice: averages of the arms, deviations of users from them);
    `uplift.share` how much of them is handed on; `uplift.spread` the prior of each block of the effect model.
    """
    yield Metric("uplift.randomised_rows", trained.randomised)
    for name, effect in trained.arms.items():
        yield _arm(effect, "all" if name == "all" else f"offer={name}")
    effect_model = trained.model.effect
    if effect_model is None:
        return
    for part, slope in (("averages", effect_model.averages), ("deviations", effect_model.deviations)):
        margin = 1.96 * slope.error
        yield Metric("uplift.slope", slope.value, low=slope.value - margin, high=slope.value + margin, part=part)
        yield Metric("uplift.share", slope.share, part=part)
    for block, spread in effect_model.spreads.items():
        yield Metric("uplift.spread", spread, part=f"block={block}")


def _arm(effect: ArmEffect, part: str) -> Metric:
    margin = 1.96 * effect.error
    return Metric("uplift.ate", effect.mean, low=effect.mean - margin, high=effect.mean + margin, part=part)


def _told(name: str, judged: Judged) -> Iterator[Metric]:
    found = judged.accuracy
    yield Metric(f"{name}.auc", found.auc, low=found.auc_low, high=found.auc_high)
    yield Metric(f"{name}.log_loss", found.log_loss)
    yield Metric(f"{name}.brier", found.brier)
    yield Metric(f"{name}.calibration_slope", judged.calibration_slope)
