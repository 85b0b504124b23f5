"""Losses that a wrong label cannot pull without end."""

from __future__ import annotations

from aar_api.wire import Hyper

from aar_lab import losses
from aar_lab.lab import Lab, Predictions
from aar_lab.losses import Loss

SUMMARY = "Vanilla with a noise-robust loss: generalised or symmetric cross-entropy, or bootstrapping."
CITATION = (
    "Zhang and Sabuncu 2018, arXiv:1805.07836; Wang et al. 2019, arXiv:1908.06112; Reed et al. 2015, arXiv:1412.6596"
)
USES_WEAK_LABELS = True
DEFAULTS: dict[str, bool | int | float | str] = {"loss": "generalised", "strength": 0.7}
SPACE = {
    "loss": Hyper(
        kind="choice",
        choices=("generalised", "symmetric", "bootstrapping"),
        default="generalised",
        doc="Which of them.",
    ),
    "strength": Hyper(
        kind="float",
        low=0.05,
        high=1.0,
        default=0.7,
        doc="How robust: q of the first, the reverse term's share of the second, 1 - beta of the third.",
    ),
}


def train(lab: Lab) -> Predictions:
    """P(True) of the test rows."""
    return lab.predict(lab.finetune(lab.weak >= 0.5, loss=chosen(lab.config["loss"], lab.config["strength"])))


def chosen(name: str, strength: float) -> Loss:
    """The loss of that name.

    Raises:
        ValueError: there is none.
    """
    if name == "generalised":
        return losses.generalised_cross_entropy(max(strength, 1e-3))
    if name == "symmetric":
        return losses.symmetric_cross_entropy(1 - strength, strength)
    if name == "bootstrapping":
        return losses.bootstrapping(1 - strength)
    raise ValueError(f"loss is {name!r}, but it must be generalised, symmetric or bootstrapping")
