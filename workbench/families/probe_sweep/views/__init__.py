"""Probe sweeps on the command line and in the explorer."""
