"""Loss functions, one equation each. Pure: (logits (B, 2), targets (B, 2), progress in [0, 1]) -> (B,).

Column 0 is False, column 1 is True; targets are probabilities. Nothing here imports torch: tensors bring their own methods.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

Loss = Callable[["Tensor", "Tensor", float], "Tensor"]


def cross_entropy(logits: Tensor, targets: Tensor, progress: float = 0.0) -> Tensor:
    """-sum_k t_k log p_k."""
    return -(targets * logits.log_softmax(-1)).sum(-1)


def auxiliary_confidence(alpha: float, warmup: float) -> Loss:
    """(1 - a) CE(p, t) + a CE(p, 1[p > tau]), a rising linearly to `alpha` over the share `warmup` of training.

    tau is the threshold at which the student's hardened classes in the batch are as frequent as the weak ones: the paper's half of
    the batch where the weak labels are balanced, and its released code's quantile where they are not.
    Burns et al. 2023 (arXiv:2312.09390), equation 1 and appendix A.4.
    """

    def loss(logits: Tensor, targets: Tensor, progress: float) -> Tensor:
        a = alpha * min(1.0, progress / warmup) if warmup > 0 else alpha
        student = logits.detach().softmax(-1)[:, 1]
        share_false = float((1 - targets[:, 1]).mean())
        tau = student.quantile(share_false)
        own = (student > tau).to(targets.dtype)
        hard = targets.new_empty(targets.shape)
        hard[:, 1], hard[:, 0] = own, 1 - own
        return (1 - a) * cross_entropy(logits, targets) + a * cross_entropy(logits, hard)

    return loss


def generalised_cross_entropy(q: float) -> Loss:
    """sum_k t_k (1 - p_k^q) / q: cross-entropy as q -> 0, absolute error at q = 1. Zhang and Sabuncu 2018 (arXiv:1805.07836)."""

    def loss(logits: Tensor, targets: Tensor, progress: float) -> Tensor:
        return (targets * (1 - logits.softmax(-1).clamp_min(1e-6) ** q) / q).sum(-1)

    return loss


def symmetric_cross_entropy(a: float, b: float) -> Loss:
    """The sum a CE(p, t) + b CE(t, p) with log 0 read as -4. Wang et al. 2019 (arXiv:1908.06112), equation 9."""

    def loss(logits: Tensor, targets: Tensor, progress: float) -> Tensor:
        log_targets = targets.clamp_min(1e-12).log().clamp_min(-4.0)
        return a * cross_entropy(logits, targets) - b * (logits.softmax(-1) * log_targets).sum(-1)

    return loss


def bootstrapping(beta: float) -> Loss:
    """CE(p, beta t + (1 - beta) p), the model's own belief held constant. Reed et al. 2015 (arXiv:1412.6596), equation 6."""

    def loss(logits: Tensor, targets: Tensor, progress: float) -> Tensor:
        return cross_entropy(logits, beta * targets + (1 - beta) * logits.detach().softmax(-1))

    return loss


def forward_corrected(flip_false: float, flip_true: float) -> Loss:
    """-sum_k t_k log (T' p)_k, T the chances that a False or a True is mislabelled. Patrini et al. 2017 (arXiv:1609.03683), theorem 2."""

    def loss(logits: Tensor, targets: Tensor, progress: float) -> Tensor:
        p = logits.softmax(-1)
        seen_true = p[:, 1] * (1 - flip_true) + p[:, 0] * flip_false
        seen_true = seen_true.clamp(1e-6, 1 - 1e-6)
        return -(targets[:, 1] * seen_true.log() + targets[:, 0] * (1 - seen_true).log())

    return loss


def small_loss(forget: float, ramp: float) -> Loss:
    """CE on the rows of the batch with the smallest loss; the share left out rises linearly to `forget` over the share `ramp`.

    The selection rule of Han et al. 2018 (arXiv:1804.06872), R(t) = 1 - min(t / T_k, 1) tau.
    """

    def loss(logits: Tensor, targets: Tensor, progress: float) -> Tensor:
        losses = cross_entropy(logits, targets)
        left_out = forget * (min(1.0, progress / ramp) if ramp > 0 else 1.0)
        bar = losses.detach().quantile(1 - left_out)
        kept = (losses.detach() <= bar).to(losses.dtype)
        return losses * kept / kept.mean().clamp_min(1e-6)

    return loss
