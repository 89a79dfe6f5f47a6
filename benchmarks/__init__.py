"""Measurements: one command each, one JSON object on standard output.

Numerical libraries get one thread, as in a worker, before any of them is imported.
"""

import os

for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[_name] = "1"
