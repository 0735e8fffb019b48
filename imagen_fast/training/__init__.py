"""Training: photographs in, a bundle of weights out. Needs torch."""
