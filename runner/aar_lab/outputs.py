"""Which arrays each role hands back, and what makes them valid. One place, read by `train`, `supervise` and the tests."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
from aar_api.files import Assignment, BundleInfo

from aar_lab.errors import InvalidPredictions

Array = npt.NDArray[Any]

FEATURE_ARRAYS = tuple(
    f"{encoder}_{split}_{field}"
    for encoder, splits in (("strong", ("train", "test")), ("weak", ("train", "test", "labelled")))
    for split in splits
    for field in ("question", "choice")
)
MAX_WIDTH = 16_384
"""Widest embedding that is believed; the largest open encoders stay below 8,192."""


def lengths(role: str, info: BundleInfo) -> dict[str, int | None]:
    """Rows of each array the role owes; None where the bundle's public part does not say."""
    known: dict[str, int | None] = {"train": info.n_train, "test": info.n_test, "labelled": None}
    if role == "features":
        return {name: known[name.split("_")[1]] for name in FEATURE_ARRAYS}
    return {"test": info.n_test, "train": info.n_train} if role == "teacher" else {"test": info.n_test}


def predictions(value: object, n: int, what: str) -> npt.NDArray[np.float32]:
    """What a method returned, as n probabilities.

    Raises:
        InvalidPredictions: wrong kind, shape or length, not finite, or outside [0, 1].
    """
    try:
        array = np.asarray(value, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise InvalidPredictions(
            f"{what} is a {type(value).__name__} that is no array of numbers ({error}); return P(True) as {n} floats."
        ) from error
    return _check(array, n, what)


def read(raw: bytes, assignment: Assignment, info: BundleInfo) -> dict[str, Array]:
    """Arrays of an untrusted .npz, checked for the role; nothing is unpickled and nothing large is unpacked.

    Raises:
        InvalidPredictions: the file is none, or its arrays are not what the role owes.
    """
    wanted = lengths(assignment.role, info)
    try:
        _check_size(raw, assignment.role, info)
        with np.load(io.BytesIO(raw), allow_pickle=False) as archive:
            missing = [name for name in wanted if name not in archive]
            if missing:
                raise InvalidPredictions(
                    f"The output lacks {', '.join(missing)}; a {assignment.role} hands back {', '.join(wanted)}."
                )
            found = {name: archive[name] for name in wanted}
    except (zipfile.BadZipFile, ValueError, EOFError, OSError, KeyError) as error:
        raise InvalidPredictions(f"The output is no .npz of plain arrays ({error}).") from error
    check = _check_features if assignment.role == "features" else _check
    return {name: check(found[name], n, name) for name, n in wanted.items()}


def write(arrays: Mapping[str, Array]) -> bytes:
    """The .npz of these arrays, as bytes."""
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)  # type: ignore[arg-type]
    return buffer.getvalue()


def _check(array: Array, n: int | None, what: str) -> npt.NDArray[np.float32]:
    if array.shape != (n,):
        raise InvalidPredictions(
            f"{what} has shape {array.shape}, but one number a row is wanted: ({n},), in row order."
        )
    if array.dtype.kind not in "fiub":
        raise InvalidPredictions(f"{what} holds {array.dtype}, but numbers are wanted: P(True) of each row.")
    bad = np.flatnonzero(~np.isfinite(array))
    if bad.size:
        raise InvalidPredictions(
            f"{what} is {array[bad[0]]} at row {bad[0]} ({bad.size} such rows); every P(True) must be finite."
        )
    bad = np.flatnonzero((array < 0) | (array > 1))
    if bad.size:
        raise InvalidPredictions(
            f"{what} is {array[bad[0]]:g} at row {bad[0]} ({bad.size} such rows), but P(True) lies in [0, 1]: "
            "return probabilities, or 0 and 1 for the two classes."
        )
    return array.astype(np.float32)


def _check_features(array: Array, n: int | None, what: str) -> npt.NDArray[np.float16]:
    if array.ndim != 2 or (n is not None and len(array) != n) or not 1 <= array.shape[1] <= MAX_WIDTH:
        raise InvalidPredictions(f"{what} has shape {array.shape}, but ({n or 'rows'}, width) is wanted.")
    if array.dtype.kind != "f" or not np.isfinite(array).all():
        raise InvalidPredictions(f"{what} must hold finite floating-point numbers.")
    return array.astype(np.float16)


def _check_size(raw: bytes, role: str, info: BundleInfo) -> None:
    """A few kilobytes of zip can promise terabytes: the promise is read first."""
    rows = info.n_train + info.n_test
    # Eight bytes a number, 4 KiB for headers; embeddings may have half a million labelled rows beside the known ones.
    limit = 4 * (rows + 500_000) * 1024 * 4 if role == "features" else 16 * rows + 65_536
    with zipfile.ZipFile(io.BytesIO(raw)) as archive:
        size = sum(entry.file_size for entry in archive.infolist())
    if size > limit:
        raise InvalidPredictions(f"The output unpacks to {size} bytes, more than the {limit} a {role} can need.")
