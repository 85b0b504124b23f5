"""The version of all parts. Images hold their folders alone: no package is installed there that could be asked for it."""

VERSION = "0.1.0"
