"""PostTrainBench: can AI agents post-train language models, and can the number be trusted?"""

__version__ = "0.1.0"
