"""How the shipped babblers are trained: speakers, their transcripts, the recipe and its quality."""
