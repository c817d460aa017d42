"""Internal RL on the command line and in the explorer, and its episodes as animations."""
