"""The red team: agents that cheat in one way each, and their honest twins."""
