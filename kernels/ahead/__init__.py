"""A network's launches described ahead of time: what another program needs to run the kernels."""
