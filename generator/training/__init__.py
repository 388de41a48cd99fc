"""Training: the loop, the objective, several processes, logs, canaries."""
