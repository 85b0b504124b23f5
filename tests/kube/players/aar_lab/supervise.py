"""Nothing has to be trained."""
