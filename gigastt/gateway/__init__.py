"""The ASGI process: connections, limits, sessions and the worker pool."""
