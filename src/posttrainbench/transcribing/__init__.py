"""From what a program printed, and from what its LLM was asked and said, to one form of transcript."""
