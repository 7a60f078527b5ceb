"""LLMs behind endpoints, asked patiently: what graders and judges ask."""
