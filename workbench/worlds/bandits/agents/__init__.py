"""The language agent of bandits: prompt, completion, parsed arm; batched rollouts and measures of behaviour."""
