"""Training: the run's configuration, the loop on accelerate, the averaged weights, exact resume."""
