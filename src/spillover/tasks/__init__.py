"""Tasks, items and prompts: text in, text out."""
