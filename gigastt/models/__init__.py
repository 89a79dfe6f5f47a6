"""Model files on disk: names, revisions, digests, download, optimisation."""
