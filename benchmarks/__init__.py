"""Measurements: one command each, one JSON object on standard output."""
