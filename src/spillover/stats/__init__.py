"""Statistics on arrays: intervals, tests, resampling, calibration, similarity of representations, and their nulls.

Arrays in, arrays out. No files, no torch.
"""
