"""Programs in place of the parts, for the local home in scenarios: they do as a folder of files says, found first by PYTHONPATH."""
