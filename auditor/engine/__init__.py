"""Where gathering runs: the one pass over a split, the forward pass, its timing, the hardware."""
