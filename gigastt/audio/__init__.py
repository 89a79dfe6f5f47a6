"""Samples in memory: PCM, resampling, container decoding, shared segments. No sockets, no processes, no onnxruntime."""
