"""Jobs: recordings that are transcribed when there is room, and survive the server's end."""
