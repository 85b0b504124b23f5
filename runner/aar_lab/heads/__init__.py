"""Heads: the ways in which a pretrained model becomes a judge of rows. One training loop serves all of them.

Law: a head makes models, turns rows into inputs and inputs into two logits; it knows nothing of weak labels or methods.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from aar_lab.bundle import Bundle

if TYPE_CHECKING:
    from aar_lab.heads.base import Head


def build(bundle: Bundle, encoder: Literal["strong", "weak"]) -> Head:
    """The task's head on its strong or weak model; only that head's libraries are imported."""
    info = bundle.info
    ref = info.strong if encoder == "strong" else info.weak
    if info.head == "probe":
        from aar_lab.heads.probe import ProbeHead

        return ProbeHead(bundle.strong_features if encoder == "strong" else bundle.weak_features, info.pairing)
    if info.head == "classifier":
        from aar_lab.heads.classifier import ClassifierHead

        return ClassifierHead(ref, info, bundle.rows)
    from aar_lab.heads.causal_lm import CausalLMHead

    return CausalLMHead(ref, info, bundle.rows)
