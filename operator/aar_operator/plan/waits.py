"""When to look again at an experiment for what nobody announces."""

from __future__ import annotations

AGAIN_SECONDS = 1.0
"""When to look again for what nobody announces, and only the hub knows: money that came back."""
MISSING_SECONDS = 5.0
"""When to look again for a ConfigMap, which nobody announces either: each look is a request."""
SELDOM_SECONDS = 30.0
"""When to look again, for certainty, at what the campaign wakes its experiments for: that it is there, that its hub answers."""
