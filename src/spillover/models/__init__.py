"""Everything that touches weights or token ids."""
