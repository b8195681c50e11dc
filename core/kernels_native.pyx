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
    BLOCK = 64  # bytes
    MARK = 7  # bytes of "sha256="
    NAME_MAX = 128
    ID_MAX = 64
    VALUES = 4
    COUNTED = 255  # at a time
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
    def __cinit__(self, bytes block not None):
        if PyBytes_GET_SIZE(block) != BLOCK:
            raise ValueError(f"a key's block has {BLOCK} bytes")
        _state(self.inner, block, 0x36)
        _state(self.outer, block, 0x5C)

    def mac(self, bytes timestamp not None, bytes body not None):
        cdef unsigned char digest[STATE]
        _mac(self.inner, self.outer, timestamp, body, digest)
        return PyBytes_FromStringAndSize(<char *>digest, STATE)

    def mac_over(self, bytes text not None):
        cdef unsigned char digest[STATE]
        cdef SHA256_CTX context
        _resume(&context, self.inner)
        SHA256_Update(&context, PyBytes_AS_STRING(text), PyBytes_GET_SIZE(text))
        _finish(self.outer, &context, digest)
        return PyBytes_FromStringAndSize(<char *>digest, STATE)

    def proves(self, bytes signature not None, bytes timestamp not None, bytes body not None):
        cdef unsigned char digest[STATE]
        if not prove(self.inner, self.outer, signature, timestamp, body, digest):
            return None
        return PyBytes_FromStringAndSize(<char *>digest, STATE)


cdef bint prove(
    uint32_t *inner,
    uint32_t *outer,
    bytes signature,
    bytes timestamp,
    bytes body,
    unsigned char *digest,
) noexcept:
    """Whether this is the signature of a request; digest: its MAC. None of the texts is None."""
    cdef char expected[MARK + DIGITS]
    _mac(inner, outer, timestamp, body, digest)
    memcpy(expected, b"sha256=", MARK)
    put_hex(expected + MARK, digest)
    if PyBytes_GET_SIZE(signature) != MARK + DIGITS:
        return False
    return CRYPTO_memcmp(expected, PyBytes_AS_STRING(signature), MARK + DIGITS) == 0


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


cdef inline void _finish(uint32_t *outer, SHA256_CTX *context, unsigned char *digest) noexcept:
    SHA256_Final(digest, context)
    _resume(context, outer)
    SHA256_Update(context, digest, STATE)
    SHA256_Final(digest, context)


cdef inline void _mac(
    uint32_t *inner, uint32_t *outer, bytes timestamp, bytes body, unsigned char *digest
) noexcept:
    cdef SHA256_CTX context
    _resume(&context, inner)
    SHA256_Update(&context, PyBytes_AS_STRING(timestamp), PyBytes_GET_SIZE(timestamp))
    SHA256_Update(&context, b".", 1)
    SHA256_Update(&context, PyBytes_AS_STRING(body), PyBytes_GET_SIZE(body))
    _finish(outer, &context, digest)


cdef void put_hex(char *to, const unsigned char *digest) noexcept:
    cdef Py_ssize_t at
    for at in range(STATE):
        to[2 * at] = _hex_digit(digest[at] >> 4)
        to[2 * at + 1] = _hex_digit(digest[at] & 15)


cdef inline char _hex_digit(unsigned char value) noexcept:
    return <char>(c"0" + value + (c"a" - c"0" - 10) * (value > 9))


cdef inline bint _are(unsigned char kind, const char *text, Py_ssize_t size) noexcept:
    """Whether all of some bytes are of a kind."""
    cdef unsigned char kinds = kind
    cdef Py_ssize_t at
    for at in range(size):
        kinds &= KINDS[<unsigned char>text[at]]
    return kinds != 0


@cython.freelist(256)
@cython.no_gc  # it holds bytes alone
@cython.auto_pickle(False)
cdef class Head:
    def __init__(
        self,
        bytes project=None,
        bytes timestamp=None,
        bytes signature=None,
        bytes content_type=None,
        bytes content_encoding=None,
    ):
        self.project, self.timestamp, self.signature = project, timestamp, signature
        self.content_type, self.content_encoding = content_type, content_encoding

    def _values(self):
        return (
            self.project,
            self.timestamp,
            self.signature,
            self.content_type,
            self.content_encoding,
        )

    def __eq__(self, other):
        return self._values() == (<Head>other)._values() if type(other) is Head else NotImplemented

    def __hash__(self):
        return hash(self._values())

    def __repr__(self):
        return f"Head{self._values()}"


@cython.auto_pickle(False)
cdef class HeadTemplate:
    cdef bytes raw
    cdef Py_ssize_t size
    cdef Py_ssize_t ends[VALUES + 1]  # of what is alike, in the order of the head
    cdef Py_ssize_t starts[VALUES + 1]
    cdef Py_ssize_t project, project_end, timestamp, timestamp_end
    cdef Py_ssize_t digits, digits_end, length, length_end
    cdef bytes content_type, content_encoding, last  # timestamp that was read

    def __cinit__(self, bytes raw not None, spans, bytes content_type, bytes content_encoding):
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
        if not self.is_like(text + at):
            return None
        return self.head_of(text + at), self.length_of(text + at)

    cdef bint is_like(self, const char *text) noexcept:
        """Whether a head begins there that is like this one; as many bytes must be there."""
        cdef const char *own = PyBytes_AS_STRING(self.raw)
        cdef Py_ssize_t index
        for index in range(VALUES + 1):
            if memcmp(
                text + self.starts[index],
                own + self.starts[index],
                self.ends[index] - self.starts[index],
            ) != 0:
                return False
        return (
            _are(WORD, text + self.project, self.project_end - self.project)
            and _are(DIGIT, text + self.timestamp, self.timestamp_end - self.timestamp)
            and _are(ALPHANUMERIC, text + self.digits, self.digits_end - self.digits)
            and _are(DIGIT, text + self.length, self.length_end - self.length)
        )

    cdef Py_ssize_t length_of(self, const char *text) noexcept:
        """How long the body is of a head that is like this one."""
        cdef Py_ssize_t index, body_bytes = 0
        for index in range(self.length, self.length_end):
            body_bytes = 10 * body_bytes + (text[index] - c"0")
        return body_bytes

    cdef Head head_of(self, const char *text):
        """A head that is like this one."""
        cdef Head head = Head.__new__(Head)
        cdef Py_ssize_t digits = self.timestamp_end - self.timestamp
        if (
            self.last is None
            or memcmp(PyBytes_AS_STRING(self.last), text + self.timestamp, digits) != 0
        ):
            self.last = text[self.timestamp:self.timestamp_end]
        head.project = text[self.project:self.project_end]
        head.timestamp = self.last  # within a second they are alike, and hashed once
        head.signature = text[self.digits - MARK:self.digits_end]
        head.content_type = self.content_type
        head.content_encoding = self.content_encoding
        return head


def only_request(dict templates not None, buffer, Py_ssize_t body_bytes_max):
    cdef HeadTemplate template
    cdef const char *text
    cdef Py_ssize_t size, body_bytes
    if not PyBytes_CheckExact(buffer):
        return None
    text, size = PyBytes_AS_STRING(buffer), PyBytes_GET_SIZE(buffer)
    for value in templates.values():
        template = <HeadTemplate?>value
        if template.size <= size and template.is_like(text):
            body_bytes = template.length_of(text)
            if body_bytes > body_bytes_max or template.size + body_bytes != size:
                return None
            body = PyBytes_FromStringAndSize(text + template.size, body_bytes)
            return template.head_of(text), body
    return None


cdef Py_ssize_t check_ascii(str text) except -1:
    """Its length. Raises TypeError or ValueError, if it has none in ASCII."""
    if text is None:
        raise TypeError("no text")
    if not PyUnicode_IS_COMPACT_ASCII(text):
        raise ValueError("a text is not ASCII")
    return PyUnicode_GET_LENGTH(text)


cdef const unsigned char *characters_of(str text) noexcept:
    """Those of a text that is ASCII."""
    return PyUnicode_1BYTE_DATA(text)


def openings(bytes text not None):
    return count_openings(<unsigned char *>PyBytes_AS_STRING(text), PyBytes_GET_SIZE(text))


cdef Py_ssize_t count_openings(const unsigned char *text, Py_ssize_t size) noexcept:
    cdef Py_ssize_t start, at, found = 0
    cdef unsigned char some
    for start in range(0, size, COUNTED):
        some = 0  # a byte, so that many are added at once
        for at in range(start, min(start + COUNTED, size)):
            some += (text[at] | 0x20) == c"{"  # "[" differs from it in that bit alone
        found += some
    return found


def is_well_formed(str name not None, payload, str identity):
    return well_formed(name, payload, identity)


cdef bint well_formed(str name, payload, str identity) except -1:
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
