"""Decides: what was observed in, a Plan out.

Law: pure. No I/O, no clock, no chance, no environment; `now` comes in. Nothing here knows which home the cluster has.
"""
