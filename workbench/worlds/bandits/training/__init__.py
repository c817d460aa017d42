"""How the shipped bandit agent is trained: teachers, their transcripts, the recipe and its quality."""
