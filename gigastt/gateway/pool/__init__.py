"""The pool: workers, sessions and their audio. No HTTP, no JSON."""
