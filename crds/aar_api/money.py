"""Money: integer micro-dollars inside, decimal strings of dollars at the border."""

from __future__ import annotations

from decimal import Decimal

from aar_api.errors import InvalidInput

MICRO = 1_000_000
"""Micro-dollars in a dollar."""

USD_PATTERN = r"^\d{1,9}(\.\d{1,6})?$"
"""What a dollar amount looks like in a resource: at most 9 digits, at most 6 decimals, no sign."""


def parse_usd(text: str) -> int:
    """Read a decimal string of US dollars as micro-dollars.

    Raises:
        InvalidInput: the text has a sign, more than six decimals or is no number.
    """
    whole, _, fraction = text.partition(".")
    digits_only = (
        whole.isascii() and whole.isdigit() and (fraction == "" or (fraction.isascii() and fraction.isdigit()))
    )
    if not digits_only or len(whole) > 9 or len(fraction) > 6 or text.endswith("."):
        raise InvalidInput(
            f"{text!r} is not an amount of US dollars: write digits with at most six decimals, for example '12.50'."
        )
    return int(Decimal(text) * MICRO)


def format_usd(micros: int) -> str:
    """Write micro-dollars as a decimal string of US dollars, at least two decimals, exact."""
    sign = "-" if micros < 0 else ""
    whole, fraction = divmod(abs(micros), MICRO)
    decimals = f"{fraction:06d}".rstrip("0").ljust(2, "0")
    return f"{sign}{whole}.{decimals}"


def cost_micros(seconds: float, usd_per_hour: str, units: float = 1.0) -> int:
    """Price of `units` devices for `seconds`, in micro-dollars, rounded up so that nothing is free."""
    # Divided last: 1/60 of an hour has no end, and the rounding up would add a micro-dollar to a round amount.
    exact = Decimal(str(seconds)) * Decimal(usd_per_hour) * Decimal(str(units)) * MICRO / 3600
    return int(exact.to_integral_value(rounding="ROUND_CEILING"))
