"""Notes: keeps short texts, finds them, and summarises them when asked; a save never waits for a model."""
