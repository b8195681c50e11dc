"""Builds core/kernels_native.pyx; everything else about the package is in pyproject.toml.

Where there is no C compiler, or no header of OpenSSL or Python, the package is installed without.
"""

from Cython.Build import cythonize
from setuptools import Extension, setup

(native,) = cythonize(
    [
        Extension(
            "core.kernels_native",
            ["core/kernels_native.pyx"],
            libraries=["crypto"],
            extra_compile_args=["-O3", "-Wno-deprecated-declarations"],
        )
    ],
    build_dir="build/native",
)
native.optional = True  # cythonize would forget it
setup(ext_modules=[native])
