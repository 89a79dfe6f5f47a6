"""Access: who may ask for what, before any handler runs."""
