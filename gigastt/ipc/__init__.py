"""Messages and packets on the pipe between the gateway and a worker."""
