"""Our arithmetic equals that of genai-prices, for every model it prices, below and above a tier; and the worst case is one."""

from __future__ import annotations

import itertools
from datetime import UTC, datetime
from decimal import ROUND_CEILING, Decimal

import genai_prices
import pytest
from aar_hub.gateway import prices, tap

MODELS = (
    "claude-fable-5-2", "claude-opus-5-5", "claude-sonnet-5-5", "claude-haiku-5-5", "claude-opus-5", "claude-haiku-4-5", "claude-opus-4-8",
)  # fmt: skip
TIMES = {"before a price fell": datetime(2026, 10, 1, tzinfo=UTC), "later": datetime(2026, 11, 25, tzinfo=UTC)}
SIZES = (0, 1, 99_999, 100_000, 100_001, 250_000)


def library(usage: dict[str, object], model: str, at: datetime) -> int:
    found = genai_prices.extract_usage({"model": model, "usage": usage}, provider_id="anthropic")
    usd: Decimal = found.calc_price(genai_request_timestamp=at).total_price
    return int((usd * 1_000_000).to_integral_value(rounding=ROUND_CEILING))


@pytest.mark.parametrize("at", TIMES.values(), ids=TIMES)
@pytest.mark.parametrize("model", MODELS)
def test_every_kind_of_token_costs_what_the_library_says(model: str, at: datetime) -> None:
    rates = prices.rates(model, at)
    for size, (read, minutes, hour) in itertools.product(
        SIZES, [(0, 0, 0), (3, 0, 0), (0, 5, 0), (0, 0, 7), (3, 5, 7)]
    ):
        detail = {"ephemeral_5m_input_tokens": minutes, "ephemeral_1h_input_tokens": hour}
        usage = {"input_tokens": size, "output_tokens": 11, "cache_read_input_tokens": read, "cache_creation": detail}
        usage["cache_creation_input_tokens"] = minutes + hour
        runs = tap.runs(usage)
        assert rates.cost(runs) == library(usage, model, at)
        assert rates.cost(runs) <= rates.dearest(runs[0].prompt, 11)


@pytest.mark.parametrize("model", MODELS)
def test_what_fits_is_the_most_that_fits(model: str) -> None:
    rates = prices.rates(model, TIMES["later"])
    for prompt, micros in itertools.product((100, 150_000), (1_000_000, 12_345_678)):
        fits = rates.output_that_fits(prompt, micros)
        assert fits < 1 or rates.dearest(prompt, fits) <= micros
        assert rates.dearest(prompt, max(0, fits + 1)) > micros


def test_an_incomplete_or_unknown_price_is_no_price() -> None:
    for model in ("gpt-5", "claude-opus-9", "claude-opus-5-5-made-up", ""):
        with pytest.raises(prices.UnknownModel, match="no complete prices"):
            prices.rates(model, TIMES["later"])
