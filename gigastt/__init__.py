"""gigastt: a self-hosted, multi-user speech-to-text server for Russian."""

from importlib.metadata import version

__version__ = version("gigastt")
