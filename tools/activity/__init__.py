"""How the activity detector was made: mixtures, training, export, evaluation (see README.md)."""
