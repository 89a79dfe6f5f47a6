"""`python -m gigastt.workers`: set up the process before anything heavy is imported, then run `main`."""

import os
import signal
import sys

if __name__ == "__main__":
    # A terminal and systemd signal the whole group, which would kill streams before the gateway has drained them.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    # One thread per worker; the libraries read this when they are loaded.
    for pool in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ[pool] = "1"
    from gigastt.workers.main import main

    sys.exit(main(sys.argv[1:]))
