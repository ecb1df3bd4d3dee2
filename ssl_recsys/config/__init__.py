"""What a training run is told: each setting on one line, and every check between settings."""
