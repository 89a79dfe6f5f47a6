"""What crosses the pipe between the gateway and a worker."""
