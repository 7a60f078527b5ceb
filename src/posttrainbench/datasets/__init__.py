"""Data sets: which files each benchmark needs, where they lie on this machine, and how they are read."""
