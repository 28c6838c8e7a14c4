"""tests/lib/cbor.py - CBOR (RFC 8949) of what the control API's inputs and answers are made of; a Time is a number with tag 1"""
import struct

class Time(int):
    """Seconds since 1970; in JSON a number as any other."""

def head(major, n):
    for size, form in ((24, ''), (1 << 8, 'B'), (1 << 16, 'H'), (1 << 32, 'I'), (1 << 64, 'Q')):
        if n < size:
            return bytes([major << 5 | (23 + 'BHIQ'.index(form) + 1 if form else n)]) + (struct.pack('>' + form, n) if form else b'')
    raise ValueError(n)

def encode(value):
    if value is None or isinstance(value, bool):
        return {None: b'\xf6', True: b'\xf5', False: b'\xf4'}[value]
    if isinstance(value, int):
        number = head(0, value) if value >= 0 else head(1, -1 - value)
        return (head(6, 1) if isinstance(value, Time) else b'') + number
    if isinstance(value, float):
        return b'\xfb' + struct.pack('>d', value)
    if isinstance(value, str):
        return head(3, len(value.encode())) + value.encode()
    if isinstance(value, list):
        return head(4, len(value)) + b''.join(map(encode, value))
    return head(5, len(value)) + b''.join(encode(k) + encode(v) for k, v in value.items())

def item(data, at):
    """(value, where it ends)"""
    major, low, at = data[at] >> 5, data[at] & 31, at + 1
    if low > 27:
        raise ValueError('of a length that is not said')
    size = 1 << low - 24 if low >= 24 else 0
    if major == 7:
        if size:
            return struct.unpack({2: '>e', 4: '>f', 8: '>d'}[size], data[at:at + size])[0], at + size
        return {20: False, 21: True, 22: None}[low], at
    n, at = int.from_bytes(data[at:at + size], 'big') if size else low, at + size
    if major < 2:
        return (n, -1 - n)[major], at
    if major < 4:
        if at + n > len(data):
            raise ValueError('cut off')
        return data[at:at + n] if major == 2 else data[at:at + n].decode(), at + n
    if major == 6:
        return item(data, at)
    values = []
    for _ in range(n * (major - 3)):
        value, at = item(data, at)
        values.append(value)
    return values if major == 4 else dict(zip(values[::2], values[1::2])), at

def decode(data):
    value, at = item(data, 0)
    if at != len(data):
        raise ValueError('%d bytes more' % (len(data) - at))
    return value
