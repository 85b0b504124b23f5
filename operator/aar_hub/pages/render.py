"""From values to HTML: everything is escaped, and what could hide in a text is made visible."""

from __future__ import annotations

import time
import unicodedata
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from aar_api import money
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from starlette.responses import HTMLResponse, Response

FOLDER = Path(__file__).parent
HEADERS = {
    "Content-Security-Policy": "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; connect-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    # Not no-referrer: with it browsers send `Origin: null` along with our own form.
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}
SHORT = 12
"""Hex digits of a digest in running text: 48 bits, no two in one campaign agree by chance; the whole one is in the title."""
HIDING = {"Cc", "Cf", "Cs"}
"""Unicode categories that a reader does not see: controls, direction marks (Boucher and Anderson 2021, "Trojan Source"), lone surrogates."""


def plain(text: str) -> str:
    """Text with what is invisible in it written out."""
    return "".join(
        letter if letter in "\n\t" or unicodedata.category(letter) not in HIDING else f"\\u{ord(letter):04x}"
        for letter in text.replace("\r\n", "\n").replace("\r", "\n")
    )


def figure(value: float) -> str:
    """A ratio with two decimals, never "-0.00"."""
    return f"{round(value, 2) + 0.0:.2f}"


def dollars(micros: int) -> str:
    """Micro-dollars, exact."""
    return money.format_usd(micros)


def short(digest: str) -> str:
    """The beginning of a digest."""
    return digest.removeprefix("sha256:")[:SHORT]


def setting(config: Mapping[str, object]) -> str:
    """Hyper-parameters in one line."""
    return ", ".join(f"{name}={_value(value)}" for name, value in config.items())


def _value(value: object) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def clock(seconds: float) -> str:
    """A span as hours, minutes and seconds."""
    days, rest = divmod(int(seconds), 86_400)
    return (f"{days} d " if days else "") + time.strftime("%H:%M:%S", time.gmtime(rest))


def when(stamp: str | None) -> str:
    """A time as Kubernetes writes it, for a person."""
    return "" if stamp is None else stamp.replace("T", " ").removesuffix("Z") + " UTC"


def ago(stamp: str) -> str:
    """How long ago, in one unit."""
    then = datetime.strptime(stamp, "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC)
    seconds = max(0, int((datetime.now(UTC) - then).total_seconds()))
    for unit, size in (("d", 86_400), ("h", 3600), ("min", 60)):
        if seconds >= size:
            return f"{seconds // size} {unit} ago"
    return f"{seconds} s ago"


def _environment() -> Environment:
    found = Environment(
        loader=FileSystemLoader(FOLDER / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    found.filters |= {one.__name__: one for one in (plain, figure, dollars, short, setting, clock, when, ago)}
    return found


ENVIRONMENT = _environment()


def html(template: str, status: int = 200, **context: Any) -> Response:
    """A page."""
    text = ENVIRONMENT.get_template(template).render(status=status, **context)
    return HTMLResponse(text, status, headers=HEADERS)
