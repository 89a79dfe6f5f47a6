"""Files: bodies of uploads, and their way to samples."""
