"""Faults on purpose: live sessions over a cable that is cut, workers that are killed, a server that is replaced."""
