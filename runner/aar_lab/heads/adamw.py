"""AdamW (Loshchilov and Hutter 2019, arXiv:1711.05101, algorithm 2) by torch's own step function.

The class `torch.optim.AdamW` imports torch's compiler when it is made: 1.2 s of a probe experiment whose fit takes 0.1 s.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.optim.adamw import adamw

BETAS = (0.9, 0.999)
EPSILON = 1e-8


class AdamW:
    """The moments of some parameters; `step` changes these in place. One kernel a parameter (`fused`)."""

    def __init__(self, parameters: Sequence[Tensor], weight_decay: float) -> None:
        self.parameters = list(parameters)
        self._weight_decay = weight_decay
        self._means = [torch.zeros_like(one) for one in self.parameters]
        self._squares = [torch.zeros_like(one) for one in self.parameters]
        self._steps = [torch.zeros((), device=one.device) for one in self.parameters]

    def forget_gradients(self) -> None:
        """Drop the gradients of the step before."""
        for one in self.parameters:
            one.grad = None

    @torch.no_grad()
    def step(self, learning_rate: float) -> None:
        """Move every parameter that has a gradient; one that has none stays, and does not decay."""
        moved = [place for place, one in enumerate(self.parameters) if one.grad is not None]
        adamw(
            [self.parameters[place] for place in moved],
            [grad for one in self.parameters if (grad := one.grad) is not None],
            [self._means[place] for place in moved],
            [self._squares[place] for place in moved],
            [],
            [self._steps[place] for place in moved],
            fused=True,
            amsgrad=False,
            beta1=BETAS[0],
            beta2=BETAS[1],
            lr=learning_rate,
            weight_decay=self._weight_decay,
            eps=EPSILON,
            maximize=False,
        )
