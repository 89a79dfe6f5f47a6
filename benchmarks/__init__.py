"""Measurements: one command each, one JSON object on standard output.

Numerical libraries get one thread, as in a worker, before any of them is imported.
"""

from gigastt.processes import use_one_thread

use_one_thread()
