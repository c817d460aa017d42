"""The language agent of grids: prompt, completion, parsed move; episodes and measures of behaviour."""
