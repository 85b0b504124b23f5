"""Nothing has to be fetched."""
