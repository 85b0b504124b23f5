"""What the parts agree on: resource models, names, labels, wire and file formats.

Law: no I/O, no clock, no randomness, no environment. Everything here is data or a pure function of its arguments, because
both trust zones import it.
"""
