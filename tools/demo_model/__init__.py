"""How the demo model was made: texts, synthetic speech, training, export, evaluation (see README.md)."""
