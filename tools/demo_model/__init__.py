"""How the demo model was made: texts, synthetic speech, training, export, evaluation (see README.md)."""

import gigastt  # noqa: F401 - keeps onnxruntime from reporting to its maker
