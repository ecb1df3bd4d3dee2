"""Which row of an embedding table a token has: the one rule of data jobs and serving.

A table of `vocab_size` rows with `hash_buckets` has, in this order:

- row 0: no value; in features without buckets also a token that the vocabulary lacks;
- rows 1 .. n: the tokens of the vocabulary file, line i (from 1) being row i;
- rows n + 1 .. n + hash_buckets: shared by all other tokens. The token's UTF-8 bytes have row
  `n + 1 + fingerprint64(bytes) % hash_buckets`.

So `vocab_size = n + 1 + hash_buckets`. The empty text is no value and has row 0. The fingerprint is
FarmHash's, which TensorFlow computes in graphs: the row of an unknown token is there
`n + 1 + tf.strings.to_hash_bucket_fast(token, hash_buckets)`.
"""

from __future__ import annotations

import struct

_MASK = 2**64 - 1
_K0, _K1, _K2 = 0xC3A5C85C97CB3127, 0xB492B66FBE98F273, 0x9AE16A3B2F90404F
_LONG_SEED = 81


def unknown_row(token: str, num_tokens: int, hash_buckets: int) -> int:
    """The row of a token that the vocabulary lacks.

    Args:
      token: the text; empty for a missing value.
      num_tokens: tokens of the vocabulary.
      hash_buckets: rows that other tokens share; 0: they have none.

    Returns:
      `num_tokens + 1 + bucket`; 0 without buckets and for the empty text.
    """
    if not hash_buckets or not token:
        return 0
    return num_tokens + 1 + fingerprint64(token.encode("utf-8")) % hash_buckets


def fingerprint64(data: bytes) -> int:
    """FarmHash's `Fingerprint64` (https://github.com/google/farmhash, farmhashna::Hash64).

    Args:
      data: any bytes.

    Returns:
      An integer in 0 .. 2^64 - 1.
    """
    size = len(data)
    if size <= 16:
        return _up_to_16(data, size)
    if size <= 32:
        mul, a, b, c, d = _ends(data, size, _K1)
        return _mix(_rotate(a + b, 43) + _rotate(c, 30) + d, a + _rotate(b + _K2, 18) + c, mul)
    return _up_to_64(data, size) if size <= 64 else _longer(data, size)


def _up_to_16(data: bytes, size: int) -> int:
    mul = _K2 + 2 * size
    if size >= 8:
        a, b = _word(data, 0) + _K2, _word(data, size - 8)
        c = _rotate(b, 37) * mul + a
        return _mix(c, (_rotate(a, 25) + b) * mul, mul)
    if size >= 4:
        first, last = (struct.unpack_from("<I", data, at)[0] for at in (0, size - 4))
        return _mix(size + (first << 3), last, mul)
    if size:
        y, z = data[0] + (data[size >> 1] << 8), size + (data[-1] << 2)
        return _shift_mix((y * _K2 & _MASK) ^ (z * _K0 & _MASK)) * _K2 & _MASK
    return _K2


def _up_to_64(data: bytes, size: int) -> int:
    mul, a, b, c, d = _ends(data, size, _K2)
    y = _rotate(a + b, 43) + _rotate(c, 30) + d
    z = _mix(y, a + _rotate(b + _K2, 18) + c, mul)
    e, f = _word(data, 16) * mul, _word(data, 24)
    g, h = (y + _word(data, size - 32)) * mul, (z + _word(data, size - 24)) * mul
    return _mix(_rotate(e + f, 43) + _rotate(g, 30) + h, e + _rotate(f + a, 18) + g, mul)


def _ends(data: bytes, size: int, first: int) -> tuple[int, int, int, int, int]:
    """The multiplier and what lengths from 17 to 64 take of the two ends."""
    mul = _K2 + 2 * size
    a, b = _word(data, 0) * first, _word(data, 8)
    return mul, a, b, _word(data, size - 8) * mul, _word(data, size - 16) * _K2


def _longer(data: bytes, size: int) -> int:
    y = (_LONG_SEED * _K1 + 113) & _MASK
    z = _shift_mix(y * _K2 + 113) * _K2
    x = _LONG_SEED * _K2 + _word(data, 0)
    v = w = (0, 0)
    last = (size - 1) & 63
    for at in range(0, size - 1 - last, 64):
        x, y, z, v, w = _round(data, at, (x, y, z, v, w), _K1, 1)
    mul = _K1 + ((z & 0xFF) << 1)
    w = (w[0] + last, w[1])
    v = (v[0] + w[0], v[1])
    w = (w[0] + v[0], w[1])
    x, y, z, v, w = _round(data, size - 64, (x, y, z, v, w), mul, 9)
    return _mix(_mix(v[0], w[0], mul) + _shift_mix(y) * _K0 + z, _mix(v[1], w[1], mul) + x, mul)


_State = tuple[int, int, int, tuple[int, int], tuple[int, int]]


def _round(data: bytes, at: int, state: _State, mul: int, factor: int) -> _State:
    """Mixes in 64 bytes; `factor` is 9 for the last of them."""
    x, y, z, v, w = state
    x = _rotate(x + y + v[0] + _word(data, at + 8), 37) * mul & _MASK
    y = _rotate(y + v[1] + _word(data, at + 48), 42) * mul
    x ^= w[1] * factor & _MASK
    y += v[0] * factor + _word(data, at + 40)
    z = _rotate(z + w[0], 33) * mul
    v = _weak(data, at, v[1] * mul, x + w[0])
    w = _weak(data, at + 32, z + w[1], y + _word(data, at + 16))
    return z & _MASK, y & _MASK, x, v, w


def _weak(data: bytes, at: int, a: int, b: int) -> tuple[int, int]:
    w, x, y, z = struct.unpack_from("<4Q", data, at)
    a += w
    b = _rotate(b + a + z, 21)
    c = a
    a += x + y
    b += _rotate(a, 44)
    return (a + z) & _MASK, (b + c) & _MASK


def _word(data: bytes, at: int) -> int:
    return struct.unpack_from("<Q", data, at)[0]


def _rotate(value: int, shift: int) -> int:
    value &= _MASK
    return (value >> shift | value << (64 - shift)) & _MASK


def _shift_mix(value: int) -> int:
    value &= _MASK
    return value ^ (value >> 47)


def _mix(u: int, v: int, mul: int) -> int:
    a = _shift_mix(((u ^ v) & _MASK) * mul)
    b = _shift_mix(((v ^ a) & _MASK) * mul)
    return b * mul & _MASK
