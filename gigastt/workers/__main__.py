"""`python -m gigastt.workers`: set up the process before anything heavy is imported, then run `main`."""

import sys

from gigastt.processes import prepare_child

if __name__ == "__main__":
    prepare_child()
    from gigastt.processes import watch_for_signals

    watch_for_signals()
    from gigastt.workers.process import main

    sys.exit(main(sys.argv[1:]))
