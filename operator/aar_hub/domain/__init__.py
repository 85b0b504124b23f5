"""What is computed and decided, as pure functions.

Law: no I/O, no clock, no chance, no environment; keys, times and figures come in as arguments.
"""
