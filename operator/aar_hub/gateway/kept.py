"""Requests and answers on the disk, each whole when it is read, and written without what the request before it said already.

Every request of a conversation holds the whole conversation: kept as they are, two thousand turns would take a gigabyte. A record is
either `length of the request | request | answer`, or it names an earlier record, and how much of that one's request its own begins and
ends with: `0xff | JSON | what stands between | answer`. Both are compressed.
"""

from __future__ import annotations

import json
import zlib
from dataclasses import dataclass
from hashlib import blake2b

from aar_hub.store.blobs import Blobs

LEVEL = 1
"""Of zlib: prompts shrink to a quarter, at 100 MB a second."""
LENGTH_BYTES = 8
DIFFERS = b"\xff"
"""No request is so long that its length begins with it."""
BLOCK = 4096
"""Requests are compared by this many bytes: their digests are kept in memory, the requests are not."""
LONGEST = 64
"""Records that are read to know one; the next one stands by itself again."""


@dataclass(frozen=True)
class Outline:
    """A record that the next one may build on."""

    address: str
    length: int
    heads: tuple[bytes, ...]
    """Digests of the request's first block, its first two, and so on."""
    tails: tuple[bytes, ...]
    """The same from its end."""
    depth: int


class Kept:
    """Writes and reads records."""

    def __init__(self, blobs: Blobs) -> None:
        self._blobs = blobs
        self._last: dict[str, Outline] = {}

    def keep(self, researcher: str, request: bytes, answer: bytes) -> str:
        """Store both; the address of the record."""
        heads, tails = _digests(request, from_end=False), _digests(request, from_end=True)
        last = self._last.get(researcher)
        head, tail = (0, 0) if last is None else _shared(last, heads, tails, len(request))
        if last is None or last.depth >= LONGEST or 2 * (head + tail) < len(request):
            depth, data = 1, len(request).to_bytes(LENGTH_BYTES, "big") + request
        else:
            between = request[head : len(request) - tail]
            about = {"base": last.address, "head": head, "tail": tail, "between": len(between)}
            depth, data = last.depth + 1, DIFFERS + json.dumps(about).encode() + b"\n" + between
        address = self._blobs.put(zlib.compress(data + answer, LEVEL), synced=False)
        self._last[researcher] = Outline(address, len(request), heads, tails, depth)
        return address


def read(blobs: Blobs, address: str) -> tuple[bytes, bytes]:
    """(request, answer) of a record, byte for byte.

    Raises:
        BlobMissing: it, or one that it builds on, is gone or damaged.
    """
    steps: list[tuple[int, int, bytes]] = []
    said: bytes | None = None
    while (data := zlib.decompress(blobs.get(address))).startswith(DIFFERS):
        line, _, rest = data[1:].partition(b"\n")
        about = json.loads(line)
        said = rest[about["between"] :] if said is None else said
        steps.append((about["head"], about["tail"], rest[: about["between"]]))
        address = about["base"]
    end = LENGTH_BYTES + int.from_bytes(data[:LENGTH_BYTES], "big")
    request = data[LENGTH_BYTES:end]
    for head, tail, between in reversed(steps):
        request = request[:head] + between + request[len(request) - tail :]
    return request, data[end:] if said is None else said


def _digests(request: bytes, *, from_end: bool) -> tuple[bytes, ...]:
    view, length, running = memoryview(request), len(request), blake2b(digest_size=16)
    found = []
    for at in range(0, length - BLOCK + 1, BLOCK):
        running.update(view[length - at - BLOCK : length - at] if from_end else view[at : at + BLOCK])
        found.append(running.digest())
    return tuple(found)


def _shared(last: Outline, heads: tuple[bytes, ...], tails: tuple[bytes, ...], length: int) -> tuple[int, int]:
    """Bytes that a request begins and ends with as the last one did; the two do not overlap in either."""
    head = BLOCK * sum(mine == theirs for mine, theirs in zip(heads, last.heads, strict=False))
    tail = BLOCK * sum(mine == theirs for mine, theirs in zip(tails, last.tails, strict=False))
    return head, max(0, min(tail, length - head, last.length - head))
