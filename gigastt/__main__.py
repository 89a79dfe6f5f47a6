"""Let `python -m gigastt` be the same program as `gigastt`.

Python puts the current directory first on the path for `-m`: a stray `numpy.py` there would run instead of numpy. It
is taken off again, unless this package itself is imported from there.
"""

import sys

if __name__ == "__main__" and not sys.flags.safe_path and __file__ != f"{sys.path[0]}/gigastt/__main__.py":
    del sys.path[0]

from gigastt.cli.main import main

if __name__ == "__main__":
    main()
