"""The API: conversations with clients, one file a dialect."""
