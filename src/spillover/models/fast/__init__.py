"""Fast paths: what each replaces, when it falls back and which test proves it equal is in README.md beside it."""
