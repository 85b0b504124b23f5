"""Baselines: what the hub has to know of a task before research starts.

Law: trusted code only, on the labelled bundle. Each file defines `produce(bundle, assignment)` and hands back the arrays of its
role; none of them is a method, and no researcher can ask for one.
"""
