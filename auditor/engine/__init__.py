"""Where gathering runs."""
