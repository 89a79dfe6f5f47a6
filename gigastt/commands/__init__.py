"""One module for each command of the program; only these and `gigastt.serve` join the other packages."""
