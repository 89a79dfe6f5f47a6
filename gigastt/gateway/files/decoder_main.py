"""Entry point of the decoder's template: `python -m gigastt.gateway.files.decoder_main --fd N`."""

from __future__ import annotations

import sys

from gigastt.processes import prepare_child

if __name__ == "__main__":
    prepare_child()  # numpy reads the number of threads when it is imported
    from gigastt.gateway.files.decoder_template import main

    sys.exit(main(sys.argv[1:]))
