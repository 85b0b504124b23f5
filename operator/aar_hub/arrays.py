"""Arrays to bytes and back; what labs post is read without trust."""

from __future__ import annotations

import io
import lzma
import zipfile
import zlib
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt

from aar_hub.errors import Refused
from aar_hub.store.blobs import Blobs

Array = npt.NDArray[Any]
MAX_WIDTH = 16_384
"""Widest embedding that is believed; the largest open encoders stay below 8,192."""
HEADERS = 65_536
"""Bytes for the headers of an archive."""
UNREADABLE = (
    zipfile.BadZipFile,
    zlib.error,
    lzma.LZMAError,
    ValueError,
    EOFError,
    OSError,
    KeyError,
    MemoryError,
    RuntimeError,
)
"""What numpy and zipfile raise at bytes that are no archive of arrays: also where a header promises more than memory holds, or a part is
locked or packed in a way that zipfile does not know (RuntimeError)."""


def pack(arrays: Mapping[str, Array]) -> bytes:
    """The .npz of these arrays."""
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)  # type: ignore[arg-type]
    return buffer.getvalue()


def pack_one(array: Array) -> bytes:
    """The .npy of an array."""
    buffer = io.BytesIO()
    np.save(buffer, array, allow_pickle=False)
    return buffer.getvalue()


def unpack(data: bytes) -> dict[str, Array]:
    """Arrays of an .npz that was checked when it came."""
    with np.load(io.BytesIO(data), allow_pickle=False) as archive:
        return {name: archive[name] for name in archive.files}


@lru_cache(maxsize=2048)
def _test(blobs: Blobs, address: str) -> Array:
    with np.load(io.BytesIO(blobs.get(address)), allow_pickle=False) as archive:
        array: Array = archive["test"]
    array.setflags(write=False)
    return array


def stack_tests(blobs: Blobs, addresses: Sequence[str]) -> Array:
    """P(True) of the test rows, (seeds, rows); kept in memory, since every score needs floor and ceiling."""
    return np.stack([_test(blobs, address) for address in addresses])


def read_predictions(data: bytes, rows: Mapping[str, int]) -> dict[str, Array]:
    """Predictions as posted, checked: one P(True) a row.

    Raises:
        Refused: PredictionsInvalid, with the value, the rule and the way out.
    """
    found = _read(data, list(rows), 16 * sum(rows.values()) + HEADERS)
    for name, array in found.items():
        _check_numbers(name, array)
        if array.shape != (rows[name],):
            raise _invalid(
                f"{name} has shape {array.shape}, but one number a row is wanted: ({rows[name]},), in row order."
            )
        _check_range(name, array)
    return {name: array.astype(np.float32) for name, array in found.items()}


def read_features(data: bytes, rows: Mapping[str, int]) -> dict[str, Array]:
    """Embeddings as posted: a vector a row.

    Raises:
        Refused: PredictionsInvalid, with the value, the rule and the way out.
    """
    found = _read(data, list(rows), sum(rows.values()) * MAX_WIDTH * 2 + HEADERS)
    for name, array in found.items():
        if array.ndim != 2 or len(array) != rows[name] or not 1 <= array.shape[1] <= MAX_WIDTH:
            raise _invalid(f"{name} has shape {array.shape}, but ({rows[name]}, width) is wanted.")
        _check_numbers(name, array)
        if not np.isfinite(array).all():
            raise _invalid(f"{name} holds values that are not finite: post finite embeddings.")
    return {name: array.astype(np.float16) for name, array in found.items()}


def _read(data: bytes, names: list[str], limit: int) -> dict[str, Array]:
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            # A few kilobytes of zip can promise terabytes: the promise is read first.
            size = sum(entry.file_size for entry in archive.infolist())
        if size > limit:
            raise _invalid(
                f"The output unpacks to {size} bytes, more than the {limit} it can need: post the arrays asked for only."
            )
        with np.load(io.BytesIO(data), allow_pickle=False) as arrays:
            missing = [name for name in names if name not in arrays]
            if missing:
                raise _invalid(f"The output lacks {', '.join(missing)}: it must hold {', '.join(names)}.")
            found = {name: arrays[name] for name in names}
    except UNREADABLE as error:
        raise _invalid(f"The output is no .npz of plain arrays ({error}): write it with numpy.savez.") from error
    for name, array in found.items():
        if not isinstance(array, np.ndarray):  # numpy hands over as bytes what does not begin as an array does
            raise _invalid(f"{name} is no array: write the output with numpy.savez.")
    return found


def _check_numbers(name: str, array: Array) -> None:
    if array.dtype.kind not in "fiub":
        raise _invalid(f"{name} holds {array.dtype}, but numbers are wanted: P(True) of each row.")


def _check_range(name: str, array: Array) -> None:
    bad = np.flatnonzero(~np.isfinite(array))
    if bad.size:
        raise _invalid(
            f"{name} is {array[bad[0]]} at row {bad[0]} ({bad.size} such rows), but every P(True) must be finite."
        )
    bad = np.flatnonzero((array < 0) | (array > 1))
    if bad.size:
        raise _invalid(
            f"{name} is {array[bad[0]]:g} at row {bad[0]} ({bad.size} such rows), but P(True) lies in [0, 1]: return probabilities."
        )


def _invalid(sentence: str) -> Refused:
    return Refused("PredictionsInvalid", sentence)
