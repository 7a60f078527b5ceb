"""The embedded world: a procedural language, two benchmarks, tiny models and a hub that fit on a laptop."""
