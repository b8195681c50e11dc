"""Measurements of this project, run by hand; not part of the product."""
