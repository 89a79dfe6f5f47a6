"""Let `python -m gigastt` be the same program as `gigastt`."""

from gigastt.cli import main

if __name__ == "__main__":
    main()
