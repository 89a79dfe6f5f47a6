"""Turn an fp32 encoder into the fastest int8 encoder for this machine."""
