"""Objects of a cluster as data, one kind of object a file.

Law: pure. Models, names and settings in, dictionaries out; no I/O, no clock, no chance, no environment.
"""
