"""External data → our format."""
