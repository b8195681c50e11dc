"""Builds core/*_native.pyx; everything else about the package is in pyproject.toml.

Where there is no C compiler, or no header of OpenSSL or Python, the package is installed without.
"""

from Cython.Build import cythonize
from setuptools import Extension, setup

natives = cythonize(
    [
        Extension(
            f"core.{name}",
            [f"core/{name}.pyx"],
            libraries=["crypto"],
            extra_compile_args=["-O3", "-Wno-deprecated-declarations"],
        )
        for name in ("kernels_native", "standing_native", "usual_native")
    ],
    build_dir="build/native",
)
for native in natives:
    native.optional = True  # cythonize would forget it
setup(ext_modules=natives)
