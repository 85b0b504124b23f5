"""What lasts: one database and content-addressed blobs.

Law: no decision is taken here.
"""
