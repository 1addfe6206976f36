"""Statistics on arrays: intervals, tests, resampling, calibration, similarity of representations, and their nulls."""
