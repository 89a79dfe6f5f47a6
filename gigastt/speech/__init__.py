"""The recogniser: log-mel in, words out. No sockets, no processes, no clocks."""
