"""One profile for all fuzz tests: a slow machine is no bug, and nothing is kept between runs."""

from hypothesis import settings

settings.register_profile("core", deadline=None, database=None, max_examples=300)
settings.load_profile("core")
