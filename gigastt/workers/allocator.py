"""Give free memory back to the system, so that what loading needed for a moment is not held for ever.

Called once by the worker's main thread, when the model is loaded. With the C library of GNU it frees some 13 MiB a
worker; with another it does nothing.
"""

from __future__ import annotations

import ctypes


def return_free_memory() -> None:
    """Let the C library return the pages that it keeps for later."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)
