"""Keeps a campaign's labels, scores, purse and memory.

Law: one process a campaign. Labels, keys and exact scores never leave it by a sandbox token; every change is one database
transaction, so that the process may be killed at any moment and started again on the same data. It knows no cluster and imports no
torch; `domain` is pure, `store` alone touches disk and database, `routes` alone speak HTTP.
"""
