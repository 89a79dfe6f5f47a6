"""How the activity detector was made: mixtures, training, export, evaluation (see README.md)."""

import gigastt  # noqa: F401 - keeps onnxruntime from reporting to its maker
