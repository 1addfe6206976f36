"""Pure numbers: arrays in, arrays out. No files, no torch."""
