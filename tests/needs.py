"""What a test needs of its machine: without it the test is skipped, or fails where TESTS_REQUIRE says that it must be there."""

from __future__ import annotations

import os
from typing import NoReturn

import pytest


def lacking(what: str, sentence: str) -> NoReturn:
    """Skip for want of `what`, a word that TESTS_REQUIRE may list: kubernetes, kueue, helm, prometheus, browser, e2e."""
    if what in os.environ.get("TESTS_REQUIRE", "").split():
        pytest.fail(f"TESTS_REQUIRE asks for {what}, but {sentence}", pytrace=False)
    pytest.skip(sentence)
