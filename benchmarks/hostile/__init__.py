"""One hostile client, and what everybody else notices of it: see `__main__`."""
