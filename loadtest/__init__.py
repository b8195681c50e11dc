"""Measures a gateway from outside, and proves that nothing it acknowledged was lost."""
