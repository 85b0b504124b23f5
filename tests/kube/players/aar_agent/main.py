"""A researcher that does nothing but be there."""

import signal

signal.pause()
