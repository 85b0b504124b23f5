"""TODO state the law of this package."""
