"""The reference, in PyTorch: what every engine is held to."""
