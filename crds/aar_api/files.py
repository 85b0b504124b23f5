"""What lies on disk and travels in archives: the bundle a lab trains on, and what it hands back.

A bundle is a folder (a tar on the wire):

    bundle.json     BundleInfo
    train.jsonl     one Row a line: the unlabelled training items, shuffled
    test.jsonl      one Row a line: the test items, shuffled; a method is served one half of them, and only a baseline both
    features.npz    float16 embeddings of the frozen strong encoder, absent until they are computed
                    train_question, train_choice (n_train, d), test_question, test_choice (n_test, d)
    weak.npy        float32 (n_train,): the weak teacher's P(True), one set a seed index
    sealed/         only in the labelled bundle of a baseline token
        labelled.jsonl       Row with label: what the weak teacher learns from
        train_labels.npy     bool (n_train,)
        weak_features.npz    as features.npz for the weak encoder, plus labelled_question, labelled_choice

Nothing outside `sealed/` depends on a label.
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from aar_api.base import Model, Parameters

BUNDLE_JSON = "bundle.json"
TRAIN_ROWS = "train.jsonl"
TEST_ROWS = "test.jsonl"
FEATURES = "features.npz"
WEAK_LABELS = "weak.npy"
SEALED = "sealed"
LABELLED_ROWS = f"{SEALED}/labelled.jsonl"
TRAIN_LABELS = f"{SEALED}/train_labels.npy"
WEAK_FEATURES = f"{SEALED}/weak_features.npz"

SPLITS = ("train", "test")
FIELDS = ("question", "choice")

# Files of a lab's input folder beside the bundle, and of its output folder.
ASSIGNMENT = "assignment.json"
SNAPSHOT_DIR = "snapshot"
BUNDLE_DIR = "bundle"
METHOD_FILE = "method.py"
OUTPUT = "output.npz"
REPORT = "report.json"
LOG_TAIL_CHARS = 16_000
"""End of a training log that is kept: what a researcher reads to see why its method failed."""

Head = Literal["probe", "classifier", "causal-lm"]


class Row(Model):
    """One item: is `choice` a right answer to `question`?"""

    id: str = Field(description="Opaque, drawn at random: says nothing about order, group or label.")
    question: str
    choice: str
    label: bool | None = Field(default=None, description="Only ever set in sealed files.")


class ModelRef(Model):
    """A pretrained model."""

    source: str = Field(description="Name of an installed model package, a local folder or a hub id.")
    layers: int | None = Field(
        default=None, ge=0, description="Keep only the first layers of the encoder; all if absent."
    )


class Optimiser(Model):
    """AdamW with linear decay; part of the task, shared by teacher, ceiling and every method."""

    epochs: int = Field(ge=1)
    learning_rate: float = Field(gt=0)
    weight_decay: float = Field(ge=0)
    batch_size: int = Field(ge=1)


class BundleInfo(Model):
    """What a lab may know about its task."""

    task: str
    digest: str = Field(
        description="Of the rows that are served, models and optimiser; features and weak labels follow from these."
    )
    pairing: Literal["pair", "single"] = Field(
        description="pair: a choice is judged against its question; single: alone."
    )
    head: Head
    strong: ModelRef
    weak: ModelRef
    optimiser: Optimiser
    max_tokens: int = Field(ge=8, description="Longest text in tokens; longer ones are cut at the end.")
    n_train: int
    n_test: int = Field(description="Test rows that are served: of one half, but to a baseline all.")


class Assignment(Model):
    """What one index of a Job has to do."""

    experiment: str = Field(description="A word for the experiment that tells nothing of what it is for; not its name.")
    index: int
    seed: int
    role: Literal["method", "features", "teacher", "ceiling"] = "method"
    builtin: str | None = None
    snapshot: str | None = None
    config: Parameters = Field(default_factory=dict)
    smoke: bool = False
    deadline_seconds: int


class LabReport(Model):
    """How training ended, written by the supervisor beside the output."""

    ok: bool
    reason: Literal[
        "",
        "MethodError",
        "InvalidPredictions",
        "DeadlineExceeded",
        "Killed",
        "OutOfMemory",
        "InvalidMethod",
        "NoSpace",
        "Internal",
    ] = ""
    message: str = ""
    log_tail: str = ""
    seconds: float = 0.0
