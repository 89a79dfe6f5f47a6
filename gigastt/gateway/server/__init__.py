"""The server: bytes and time. Everything private of uvicorn stands here."""
