"""How the shipped grid agent is trained: transcripts, the recipe and its quality."""
