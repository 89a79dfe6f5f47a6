"""One inference process."""
