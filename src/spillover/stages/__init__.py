"""The stages of a run, a folder each; `stage.py` is a stage's front door."""
