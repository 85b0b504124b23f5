"""The operator on a cluster: events in by kopf, names into the work queue, one leader at work.

Law: kopf only watches. It stores nothing in objects, adds no finalizer and posts no event; whatever it reports goes to the
cluster's cache, and the names that concern us to our own queue.
"""
