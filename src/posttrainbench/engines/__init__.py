"""Engines: weights and prompts into completions. One file each."""
