"""One campaign on one machine, as a program that another one starts, watches and stops.

Law: nothing here decides about research. What it says goes out as JSON lines; the one who started it draws them.
"""
