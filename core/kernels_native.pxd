# cython: language_level=3
"""What standing_native.pyx and usual_native.pyx take from here without a detour through Python."""

from libc.stdint cimport uint32_t
from libc.string cimport memcpy


cdef enum:
    STATE = 32  # bytes of SHA-256's state, and of a digest
    DIGITS = 64  # of a digest in hex


cdef class Key:
    cdef uint32_t inner[8]
    cdef uint32_t outer[8]


cdef class Head:
    cdef readonly bytes project, timestamp, signature, content_type, content_encoding


cdef bint prove(
    uint32_t *inner,
    uint32_t *outer,
    bytes signature,
    bytes timestamp,
    bytes body,
    unsigned char *digest,
) noexcept

cdef void put_hex(char *to, const unsigned char *digest) noexcept
cdef Py_ssize_t count_openings(const unsigned char *text, Py_ssize_t size) noexcept
cdef Py_ssize_t check_ascii(str text) except -1
cdef const unsigned char *characters_of(str text) noexcept
cdef bint well_formed(str name, payload, str identity) except -1


cdef inline int digits_of(Py_ssize_t number) noexcept:
    cdef int digits = 1
    while number >= 10:
        number //= 10
        digits += 1
    return digits


cdef inline char *put_number(char *to, Py_ssize_t number) noexcept:
    cdef char *end = to + digits_of(number)
    cdef char *at = end
    while at > to:
        at -= 1
        at[0] = c"0" + <char>(number % 10)
        number //= 10
    return end


cdef inline char *put(char *to, const char *text, Py_ssize_t size) noexcept:
    memcpy(to, text, size)
    return to + size
