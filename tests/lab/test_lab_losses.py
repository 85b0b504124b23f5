"""Losses and the optimiser against values worked out by hand, and against torch's own."""

from __future__ import annotations

import math

import pytest
import torch
from aar_lab import losses
from aar_lab.heads.adamw import AdamW
from aar_lab.losses import Loss

P = (0.8, 0.3)
"""P(True) of the student in the two rows below."""
LOGITS = torch.tensor([[0.0, math.log(p / (1 - p))] for p in P])
HARD = torch.tensor([[0.0, 1.0], [0.0, 1.0]])
SOFT = torch.tensor([[0.4, 0.6], [0.5, 0.5]])
LN = math.log


@pytest.mark.parametrize(
    ("loss", "targets", "progress", "wanted"),
    [
        pytest.param(losses.cross_entropy, HARD, 0.0, [-LN(0.8), -LN(0.3)], id="cross-entropy"),
        pytest.param(
            losses.cross_entropy, SOFT, 0.0, [-0.6 * LN(0.8) - 0.4 * LN(0.2), -0.5 * LN(0.3) - 0.5 * LN(0.7)],
            id="cross-entropy-of-probabilities",
        ),
        pytest.param(
            losses.auxiliary_confidence(0.5, 0.2), SOFT, 0.0,
            [-0.6 * LN(0.8) - 0.4 * LN(0.2), -0.5 * LN(0.3) - 0.5 * LN(0.7)], id="confidence-before-the-warm-up",
        ),
        # Weak labels are True in .55 of the batch, so tau lies between .3 and .8: the student says True, False.
        pytest.param(
            losses.auxiliary_confidence(0.5, 0.2), SOFT, 0.2,
            [-0.8 * LN(0.8) - 0.2 * LN(0.2), -0.25 * LN(0.3) - 0.75 * LN(0.7)], id="confidence-at-full-strength",
        ),
        pytest.param(
            losses.auxiliary_confidence(0.5, 0.2), SOFT, 0.1,
            [-0.7 * LN(0.8) - 0.3 * LN(0.2), -0.375 * LN(0.3) - 0.625 * LN(0.7)], id="confidence-half-warm",
        ),
        pytest.param(
            losses.generalised_cross_entropy(0.5), HARD, 0.0, [(1 - 0.8**0.5) / 0.5, (1 - 0.3**0.5) / 0.5],
            id="generalised",
        ),
        pytest.param(losses.generalised_cross_entropy(1.0), HARD, 0.0, [0.2, 0.7], id="generalised-is-absolute-error"),
        pytest.param(
            losses.symmetric_cross_entropy(0.1, 1.0), HARD, 0.0, [-0.1 * LN(0.8) + 4 * 0.2, -0.1 * LN(0.3) + 4 * 0.7],
            id="symmetric",
        ),
        pytest.param(
            losses.bootstrapping(0.8), HARD, 0.0,
            [-0.96 * LN(0.8) - 0.04 * LN(0.2), -0.86 * LN(0.3) - 0.14 * LN(0.7)], id="bootstrapping",
        ),
        # A True is seen as False in a fifth, a False as True in a tenth: .8 * .8 + .2 * .1 = .66, .3 * .8 + .7 * .1 = .31.
        pytest.param(losses.forward_corrected(0.1, 0.2), HARD, 0.0, [-LN(0.66), -LN(0.31)], id="forward-corrected"),
        pytest.param(losses.small_loss(0.5, 0.5), HARD, 0.0, [-LN(0.8), -LN(0.3)], id="small-loss-keeps-all-at-first"),
        pytest.param(losses.small_loss(0.5, 0.5), HARD, 0.5, [-2 * LN(0.8), 0.0], id="small-loss-keeps-the-easy-half"),
    ],
)  # fmt: skip
def test_a_loss_has_the_value_worked_out_by_hand(
    loss: Loss, targets: torch.Tensor, progress: float, wanted: list[float]
) -> None:
    assert loss(LOGITS, targets, progress).tolist() == pytest.approx(wanted, abs=1e-5)


@pytest.mark.parametrize(
    ("share_true", "wanted"),
    [
        pytest.param(0.25, 1, id="a-quarter"),
        pytest.param(0.5, 2, id="half"),
        pytest.param(0.75, 3, id="three-quarters"),
    ],
)
def test_the_confident_student_calls_as_many_true_as_the_weak_labels(share_true: float, wanted: int) -> None:
    """All four students are below one half: a fixed threshold would call none of them True."""
    logits = torch.tensor([[0.0, value] for value in (-4.0, -3.0, -2.0, -1.0)])
    targets = torch.tensor([[1 - share_true, share_true]] * 4)
    own = losses.auxiliary_confidence(1.0, 0.0)(logits, targets, 0.0)
    called = own.isclose(-logits.log_softmax(-1)[:, 1])
    assert called.tolist() == [False] * (4 - wanted) + [True] * wanted


def test_adamw_steps_as_torchs_class_does() -> None:
    """50 steps of a small network with a falling rate; a parameter without a gradient stays."""
    ended = []
    for own in (True, False):
        torch.manual_seed(0)
        network = torch.nn.Sequential(torch.nn.Linear(7, 5), torch.nn.Tanh(), torch.nn.Linear(5, 2))
        parameters = [*network.parameters(), torch.nn.Parameter(torch.ones(3))]
        inputs = torch.randn(9, 7)
        mine, torchs = AdamW(parameters, 0.05), torch.optim.AdamW(parameters, weight_decay=0.05)
        for step in range(50):
            rate = 1e-2 * (1 - step / 50)
            mine.forget_gradients()
            network(inputs).log_softmax(-1)[:, 0].neg().mean().backward()
            if own:
                mine.step(rate)
            else:
                torchs.param_groups[0]["lr"] = rate
                torchs.step()
        ended.append(torch.cat([one.detach().flatten() for one in parameters]))
    assert torch.allclose(*ended, atol=1e-6)
    assert ended[0][-3:].tolist() == [1, 1, 1]
