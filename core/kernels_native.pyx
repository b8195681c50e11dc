# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, embedsignature=True
"""The kernels in C: see core/kernels.py. What each does is told in core/kernels_python.py.

SHA-256 is OpenSSL's, by its functions on a plain struct: a key is 64 bytes of state within its own
object, where a context of the newer interface would be several objects, each far away in memory.
"""

cimport cython
from cpython.buffer cimport PyBUF_SIMPLE, PyBuffer_Release, PyObject_GetBuffer
from cpython.bytearray cimport PyByteArray_AS_STRING, PyByteArray_CheckExact, PyByteArray_GET_SIZE
from cpython.bytes cimport (
    PyBytes_AS_STRING, PyBytes_CheckExact, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
)
from libc.stdint cimport uint32_t
from libc.string cimport memcmp, memcpy

from core.head import Head


cdef extern from "openssl/sha.h" nogil:
    ctypedef struct SHA256_CTX:
        uint32_t h[8]
        uint32_t Nl  # bits so far
    int SHA256_Init(SHA256_CTX *context)
    int SHA256_Update(SHA256_CTX *context, const void *data, size_t size)
    int SHA256_Final(unsigned char *digest, SHA256_CTX *context)

cdef extern from "openssl/crypto.h" nogil:
    int CRYPTO_memcmp(const void *a, const void *b, size_t size)

cdef extern from "Python.h":
    int PyUnicode_IS_COMPACT_ASCII(object text)
    Py_ssize_t PyUnicode_GET_LENGTH(object text)
    const unsigned char *PyUnicode_1BYTE_DATA(object text)


cdef enum:
    STATE = 32  # bytes of SHA-256's state, and of a digest
    DIGITS = 64  # of a digest in hex
    BLOCK = 64  # bytes
    MARK = 7  # bytes of "sha256="
    NAME_MAX = 128
    ID_MAX = 64
    VALUES = 4
    COUNTED = 255  # at a time
    FRAMES = 8  # bytes of RESP around two arguments' lengths
    ARGUMENTS_FRAME = 10  # the same with both arguments' ends
    LENGTH_FRAME = 22  # bytes of HTTP around a body's length, its header's name included
    LENGTH_MAX = 18  # digits: no more fit

cdef enum:  # what a byte may be part of
    DIGIT = 1
    ALPHANUMERIC = 2
    WORD = 4

cdef unsigned char KINDS[256]
for _byte in range(128):
    KINDS[_byte] = (
        DIGIT * chr(_byte).isdigit()
        | ALPHANUMERIC * chr(_byte).isalnum()
        | WORD * (chr(_byte).isalnum() or chr(_byte) in "_.:-")
    )


@cython.auto_pickle(False)  # it is a secret
cdef class Key:
    cdef uint32_t inner[8]
    cdef uint32_t outer[8]

    def __cinit__(self, bytes block not None):
        if PyBytes_GET_SIZE(block) != BLOCK:
            raise ValueError(f"a key's block has {BLOCK} bytes")
        _state(self.inner, block, 0x36)
        _state(self.outer, block, 0x5C)

    def mac(self, bytes timestamp not None, bytes body not None):
        cdef unsigned char digest[STATE]
        _mac(self, timestamp, body, digest)
        return PyBytes_FromStringAndSize(<char *>digest, STATE)

    def mac_over(self, bytes text not None):
        cdef unsigned char digest[STATE]
        cdef SHA256_CTX context
        _resume(&context, self.inner)
        SHA256_Update(&context, PyBytes_AS_STRING(text), PyBytes_GET_SIZE(text))
        _finish(self, &context, digest)
        return PyBytes_FromStringAndSize(<char *>digest, STATE)

    def proves(self, bytes signature not None, bytes timestamp not None, bytes body not None):
        cdef unsigned char digest[STATE]
        cdef char expected[MARK + DIGITS]
        _mac(self, timestamp, body, digest)
        memcpy(expected, b"sha256=", MARK)
        _hex(expected + MARK, digest)
        if PyBytes_GET_SIZE(signature) != MARK + DIGITS:
            return None
        if CRYPTO_memcmp(expected, PyBytes_AS_STRING(signature), MARK + DIGITS) != 0:
            return None
        return PyBytes_FromStringAndSize(<char *>digest, STATE)


cdef void _state(uint32_t *state, bytes block, unsigned char pad) noexcept:
    """The state behind one block: the key, each byte XOR pad."""
    cdef unsigned char padded[BLOCK]
    cdef const char *key = PyBytes_AS_STRING(block)
    cdef SHA256_CTX context
    cdef Py_ssize_t at
    for at in range(BLOCK):
        padded[at] = <unsigned char>key[at] ^ pad
    SHA256_Init(&context)
    SHA256_Update(&context, padded, BLOCK)
    memcpy(state, context.h, STATE)


cdef inline void _resume(SHA256_CTX *context, uint32_t *state) noexcept:
    SHA256_Init(context)
    memcpy(context.h, state, STATE)
    context.Nl = 8 * BLOCK


cdef inline void _finish(Key key, SHA256_CTX *context, unsigned char *digest) noexcept:
    SHA256_Final(digest, context)
    _resume(context, key.outer)
    SHA256_Update(context, digest, STATE)
    SHA256_Final(digest, context)


cdef inline void _mac(Key key, bytes timestamp, bytes body, unsigned char *digest) noexcept:
    cdef SHA256_CTX context
    _resume(&context, key.inner)
    SHA256_Update(&context, PyBytes_AS_STRING(timestamp), PyBytes_GET_SIZE(timestamp))
    SHA256_Update(&context, b".", 1)
    SHA256_Update(&context, PyBytes_AS_STRING(body), PyBytes_GET_SIZE(body))
    _finish(key, &context, digest)


cdef inline void _hex(char *digits, const unsigned char *digest) noexcept:
    cdef Py_ssize_t at
    for at in range(STATE):
        digits[2 * at] = _hex_digit(digest[at] >> 4)
        digits[2 * at + 1] = _hex_digit(digest[at] & 15)


cdef inline char _hex_digit(unsigned char value) noexcept:
    return <char>(c"0" + value + (c"a" - c"0" - 10) * (value > 9))


cdef inline bint _are(unsigned char kind, const char *text, Py_ssize_t size) noexcept:
    """Whether all of some bytes are of a kind."""
    cdef unsigned char kinds = kind
    cdef Py_ssize_t at
    for at in range(size):
        kinds &= KINDS[<unsigned char>text[at]]
    return kinds != 0


@cython.auto_pickle(False)
cdef class HeadTemplate:
    cdef bytes raw
    cdef Py_ssize_t size
    cdef Py_ssize_t ends[VALUES + 1]  # of what is alike, in the order of the head
    cdef Py_ssize_t starts[VALUES + 1]
    cdef Py_ssize_t project, project_end, timestamp, timestamp_end
    cdef Py_ssize_t digits, digits_end, length, length_end
    cdef object content_type, content_encoding

    def __cinit__(self, bytes raw not None, spans, content_type, content_encoding):
        cdef Py_ssize_t at = 0
        self.raw, self.size = raw, len(raw)
        (
            (self.project, self.project_end),
            (self.timestamp, self.timestamp_end),
            (self.digits, self.digits_end),
            (self.length, self.length_end),
        ) = spans
        for index, (start, end) in enumerate(sorted(spans)):
            if not at <= start < end <= self.size:
                raise ValueError("four spans within the head, none of them in another")
            self.starts[index], self.ends[index] = at, start
            at = end
        self.starts[VALUES], self.ends[VALUES] = at, self.size
        if self.digits < MARK or self.length_end - self.length > LENGTH_MAX:
            raise ValueError("the digits come after their mark, and a length is a number")
        self.content_type = content_type
        self.content_encoding = content_encoding

    def read(self, buffer, Py_ssize_t at):
        cdef Py_ssize_t index, body_bytes = 0
        cdef const char *own = PyBytes_AS_STRING(self.raw)
        cdef const char *text
        cdef Py_ssize_t size
        if PyBytes_CheckExact(buffer):
            text, size = PyBytes_AS_STRING(buffer), PyBytes_GET_SIZE(buffer)
        elif PyByteArray_CheckExact(buffer):
            text, size = PyByteArray_AS_STRING(buffer), PyByteArray_GET_SIZE(buffer)
        else:
            raise TypeError("bytes or a bytearray")
        if at < 0 or size - at < self.size:
            raise ValueError("the buffer is too short")
        text += at
        for index in range(VALUES + 1):
            if memcmp(
                text + self.starts[index],
                own + self.starts[index],
                self.ends[index] - self.starts[index],
            ) != 0:
                return None
        if not (
            _are(WORD, text + self.project, self.project_end - self.project)
            and _are(DIGIT, text + self.timestamp, self.timestamp_end - self.timestamp)
            and _are(ALPHANUMERIC, text + self.digits, self.digits_end - self.digits)
            and _are(DIGIT, text + self.length, self.length_end - self.length)
        ):
            return None
        for index in range(self.length, self.length_end):
            body_bytes = 10 * body_bytes + (text[index] - c"0")
        return Head(
            text[self.project:self.project_end],
            text[self.timestamp:self.timestamp_end],
            text[self.digits - MARK:self.digits_end],
            self.content_type,
            self.content_encoding,
        ), body_bytes


def entry_start(
    bytes opening not None,
    bytes middle not None,
    bytes stamp not None,
    bytes mac not None,
    Py_ssize_t body_bytes,
):
    if PyBytes_GET_SIZE(mac) != STATE or body_bytes < 0:
        raise ValueError(f"a MAC has {STATE} bytes, a body none or more")
    cdef Py_ssize_t header = (
        PyBytes_GET_SIZE(opening) + PyBytes_GET_SIZE(middle) + PyBytes_GET_SIZE(stamp) + DIGITS
    )
    cdef bytes start = PyBytes_FromStringAndSize(
        NULL, FRAMES + _digits_of(header) + header + _digits_of(body_bytes)
    )
    cdef char *to = PyBytes_AS_STRING(start)
    to = _put_number(_put(to, b"$", 1), header)
    to = _put(to, b"\r\n", 2)
    to = _put(to, PyBytes_AS_STRING(opening), PyBytes_GET_SIZE(opening))
    to = _put(to, PyBytes_AS_STRING(middle), PyBytes_GET_SIZE(middle))
    to = _put(to, PyBytes_AS_STRING(stamp), PyBytes_GET_SIZE(stamp))
    _hex(to, <unsigned char *>PyBytes_AS_STRING(mac))
    to = _put(to + DIGITS, b"\r\n$", 3)
    _put(_put_number(to, body_bytes), b"\r\n", 2)
    return start


cdef inline int _digits_of(Py_ssize_t number) noexcept:
    cdef int digits = 1
    while number >= 10:
        number //= 10
        digits += 1
    return digits


cdef inline char *_put_number(char *to, Py_ssize_t number) noexcept:
    cdef char *end = to + _digits_of(number)
    cdef char *at = end
    while at > to:
        at -= 1
        at[0] = c"0" + <char>(number % 10)
        number //= 10
    return end


cdef inline char *_put(char *to, const char *text, Py_ssize_t size) noexcept:
    memcpy(to, text, size)
    return to + size


def counts_as_arguments(dict counts not None):
    cdef Py_ssize_t size = 0, length, number, digits
    for name, count in counts.items():
        if type(count) is not int:  # it is read twice, and must be the same
            raise TypeError("a count is an int")
        length, number = _check_ascii(name), count
        if number < 0:
            raise ValueError("a count is none or more")
        digits = _digits_of(number)
        size += ARGUMENTS_FRAME + _digits_of(length) + length + _digits_of(digits) + digits
    cdef bytes arguments = PyBytes_FromStringAndSize(NULL, size)
    cdef char *to = PyBytes_AS_STRING(arguments)
    for name, count in counts.items():
        length, number = PyUnicode_GET_LENGTH(name), count
        to = _put(_put_number(_put(to, b"$", 1), length), b"\r\n", 2)
        to = _put(to, <const char *>PyUnicode_1BYTE_DATA(name), length)
        to = _put(_put_number(_put(to, b"\r\n$", 3), _digits_of(number)), b"\r\n", 2)
        to = _put(_put_number(to, number), b"\r\n", 2)
    return arguments


def response(bytes head not None, str request_id not None, tuple texts not None):
    cdef Py_ssize_t body = 0
    _check_ascii(request_id)
    for text in texts:
        body += _check_ascii(text)
    cdef Py_ssize_t id_size = PyUnicode_GET_LENGTH(request_id)
    cdef bytes whole = PyBytes_FromStringAndSize(
        NULL, PyBytes_GET_SIZE(head) + id_size + LENGTH_FRAME + _digits_of(body) + body
    )
    cdef char *to = PyBytes_AS_STRING(whole)
    to = _put(to, PyBytes_AS_STRING(head), PyBytes_GET_SIZE(head))
    to = _put(to, <const char *>PyUnicode_1BYTE_DATA(request_id), id_size)
    to = _put(to, b"\r\nContent-Length: ", LENGTH_FRAME - 4)
    to = _put(_put_number(to, body), b"\r\n\r\n", 4)
    for text in texts:
        to = _put(to, <const char *>PyUnicode_1BYTE_DATA(text), PyUnicode_GET_LENGTH(text))
    return whole


cdef inline Py_ssize_t _check_ascii(str text) except -1:
    """Its length. Raises TypeError or ValueError, if it has none in ASCII."""
    if text is None:
        raise TypeError("no text")
    if not PyUnicode_IS_COMPACT_ASCII(text):
        raise ValueError("a text is not ASCII")
    return PyUnicode_GET_LENGTH(text)


def openings(bytes text not None):
    cdef const unsigned char *characters = <unsigned char *>PyBytes_AS_STRING(text)
    cdef Py_ssize_t size = PyBytes_GET_SIZE(text), start, at, found = 0
    cdef unsigned char some
    for start in range(0, size, COUNTED):
        some = 0  # a byte, so that many are added at once
        for at in range(start, min(start + COUNTED, size)):
            some += (characters[at] | 0x20) == c"{"  # "[" differs from it in that bit alone
        found += some
    return found


def is_well_formed(str name not None, payload, str identity):
    cdef Py_buffer view
    if not _is_word(name, NAME_MAX) or not (identity is None or _is_word(identity, ID_MAX)):
        return False
    PyObject_GetBuffer(payload, &view, PyBUF_SIMPLE)
    is_object = view.len > 0 and (<const char *>view.buf)[0] == c"{"
    PyBuffer_Release(&view)
    return is_object


cdef inline bint _is_word(str text, Py_ssize_t size_max) noexcept:
    cdef Py_ssize_t size = PyUnicode_GET_LENGTH(text)
    if not PyUnicode_IS_COMPACT_ASCII(text) or not 0 < size <= size_max:
        return False
    return _are(WORD, <const char *>PyUnicode_1BYTE_DATA(text), size)
