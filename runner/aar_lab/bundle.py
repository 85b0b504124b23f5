"""Reading a bundle's folder."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from aar_api import files
from aar_api.files import BundleInfo, Row
from pydantic import ValidationError

from aar_lab.errors import BundleInvalid

Float32 = npt.NDArray[np.float32]
Features = dict[str, npt.NDArray[Any]]


@dataclass(frozen=True)
class Bundle:
    """A bundle on disk; each part is read when it is first used."""

    folder: Path

    @cached_property
    def info(self) -> BundleInfo:
        """What a lab may know about its task."""
        try:
            return BundleInfo.model_validate_json(self._path(files.BUNDLE_JSON).read_bytes())
        except ValidationError as error:
            raise BundleInvalid(f"{files.BUNDLE_JSON} is not one this lab understands: {error}") from error

    @cached_property
    def train(self) -> tuple[Row, ...]:
        """The unlabelled training rows."""
        return self._rows(files.TRAIN_ROWS, self.info.n_train)

    @cached_property
    def test(self) -> tuple[Row, ...]:
        """The test rows that are served."""
        return self._rows(files.TEST_ROWS, self.info.n_test)

    @cached_property
    def labelled(self) -> tuple[Row, ...]:
        """What the weak teacher learns from; only a baseline has it."""
        return self._rows(files.LABELLED_ROWS, None)

    @cached_property
    def weak(self) -> Float32:
        """The weak teacher's P(True) of each training row."""
        weak = self._array(files.WEAK_LABELS).astype(np.float32)
        if weak.shape != (self.info.n_train,):
            raise BundleInvalid(
                f"{files.WEAK_LABELS} has shape {weak.shape}, but the bundle has {self.info.n_train} training rows."
            )
        return weak

    @cached_property
    def train_labels(self) -> npt.NDArray[np.bool_]:
        """The true training labels; only a baseline has them."""
        return self._array(files.TRAIN_LABELS).astype(bool)

    @cached_property
    def strong_features(self) -> Features:
        """Embeddings of the frozen strong encoder: train_question, train_choice, test_question, test_choice."""
        return self._features(files.FEATURES)

    @cached_property
    def weak_features(self) -> Features:
        """Embeddings of the frozen weak encoder, labelled rows too; only a baseline has them."""
        return self._features(files.WEAK_FEATURES)

    def rows(self, split: str) -> tuple[Row, ...]:
        """Rows of `train`, `test` or `labelled`."""
        return {"train": lambda: self.train, "test": lambda: self.test, "labelled": lambda: self.labelled}[split]()

    def _path(self, name: str) -> Path:
        path = self.folder / name
        if not path.is_file():
            hint = (
                " The features experiment of this task has to be run first."
                if name in (files.FEATURES, files.WEAK_FEATURES)
                else ""
            )
            raise BundleInvalid(f"The bundle in {self.folder} has no {name}.{hint}")
        return path

    def _rows(self, name: str, n: int | None) -> tuple[Row, ...]:
        with self._path(name).open("rb") as lines:
            rows = tuple(Row.model_validate_json(line) for line in lines)
        if n is not None and len(rows) != n:
            raise BundleInvalid(f"{name} has {len(rows)} rows, but {files.BUNDLE_JSON} says {n}.")
        return rows

    def _array(self, name: str) -> npt.NDArray[Any]:
        array: npt.NDArray[Any] = np.load(self._path(name), allow_pickle=False)
        return array

    def _features(self, name: str) -> Features:
        with np.load(self._path(name), allow_pickle=False) as archive:
            return {key: archive[key] for key in archive.files}
