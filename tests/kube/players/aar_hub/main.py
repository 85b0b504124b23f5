"""The hub's process; what it would answer is the hub double's to say."""

import signal

signal.pause()
