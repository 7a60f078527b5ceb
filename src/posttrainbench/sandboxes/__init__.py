"""Where untrusted commands execute: `bwrap` (the default on Linux) and `none` (only when asked by name)."""
