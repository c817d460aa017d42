"""Goal-directedness on the command line and in the explorer."""
