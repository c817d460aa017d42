"""EAST in the explorer: its page and its transcripts."""
