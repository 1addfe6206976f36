"""Kernels: faster ways to the same numbers, each equal to the plain computation by test."""
