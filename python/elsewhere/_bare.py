"""A host for interpreters that have no `elsewhere`: the protocol in plain Python, in one file.

Owns: a whole peer of the protocol over one socket, and what runs in a host. Must not know: the package; whatever it is
named after here is the stand-in that this file makes.
Long because it is sent as one piece to an interpreter that has nothing of ours, and is never written to its disk.

It is written from the specification in `crates/elsewhere-proto/src/lib.rs`, and runs on CPython 3.6 and later and on
PyPy: no syntax and no module that these lack. It has no rings, no recorder and no heartbeats: Python can neither order
memory nor answer while a call holds the interpreter.

Who reads the socket: the thread that waits. Between calls that is the main thread; inside a call the thread that waits
for an answer of its own; while a call runs for long, a thread that otherwise sleeps (`_Watch`).
"""

import collections
import itertools
import os
import select
import signal
import socket
import struct
import sys
import threading
import time
import types

TOLD = globals().get("TOLD", {})
"""What the owner says before anything else: version, concurrency, the name of this file."""

SOURCE = globals().get("SOURCE", "")
"""The text of this file, for tracebacks."""

HEADER = struct.Struct("<IBBHQQII")
HEAD = struct.Struct("<QIBBH")
CHUNK_MAX = 262144
WINDOW_CALLS = 1024
WINDOW_BYTES = 64 << 20
MAGIC = int.from_bytes(b"ELSEWHER", "little")

HELLO, CALL, REPLY, ERROR, CANCEL, RELEASE, ITEMS, CREDIT, PING, PONG, GOAWAY, CLOSE, FORGET = range(1, 14)
MORE = 1
AUTO, VALUE, REFERENCE, NOTHING, STREAM = range(5)
CHUNKS, SERIAL, BUFFERS = 1, 2, 4
RAISED, ARGUMENT, RESULT, GONE, CANCELLED, EXPIRED, REFUSED, OVERLOADED, MISSING, CLOSED, DEADLOCK = range(11)
NOT_STARTED, UNKNOWN, FINISHED = range(3)
OUTCOMES = ("not_started", "unknown", "finished")
ATTR, ITEM, DO, SET_ATTR, DEL_ATTR, SET_ITEM, DEL_ITEM, OPERATE, GET_DEFAULT, START, ANSWER = range(11)
IS_STREAM, IS_ASYNC_STREAM = 2, 4

FORBIDDEN = frozenset(
    (
        "__base__ __bases__ __builtins__ __class__ __closure__ __code__ __dict__ __func__ __getattribute__ "
        "__getstate__ __globals__ __init_subclass__ __mro__ __reduce__ __reduce_ex__ __self__ __setstate__ "
        "__subclasses__ __wrapped__"
    ).split()
)
"""Names through which any object leads to the whole interpreter. They are never reached."""

OPERATIONS = (
    "len contains iter next str bool eq ne lt le gt ge enter exit aenter aexit hash dir - neg pos abs invert add radd "
    "sub rsub mul rmul matmul rmatmul truediv rtruediv floordiv rfloordiv mod rmod divmod rdivmod pow rpow lshift "
    "rlshift rshift rrshift and rand xor rxor or ror iadd isub imul imatmul itruediv ifloordiv imod ipow ilshift "
    "irshift iand ixor ior int float complex index round trunc floor ceil bytes format reversed length_hint send throw "
    "close anext asend athrow aclose await aiter"
).split()
IN_PLACE = range(51, 64)

MAIN = threading.get_ident()
DEPTH_MAX = 60
NESTED_MAX = 1000
TEXT_LIMIT = 64 * 1024
EXCEPTION_MAX = 1 << 20
WHOLE_STEPS = frozenset(
    (
        "__del__ begin class_out export forgotten frame give_back give_up imported send send_beside take_id tell "
        "try_send_beside ungrant wake write"
    ).split()
)
"""Functions of this file that a call is not broken off in: what they leave half done nobody mends."""

UNCOPYABLE_MAX = 100000
VERDICTS_MAX = 4096


# ---------------------------------------------------------------- what methods see of the package
class ElsewhereError(Exception):
    """Base of all errors that elsewhere raises on its own account."""

    def __init__(self, message="", outcome=None, host=None, method=None):
        super().__init__(message)
        self.outcome, self.host, self.method, self.remote = outcome, host, method, False

    def __reduce__(self):
        return _rebuild, (type(self), self.args, dict(self.__dict__))


def _rebuild(cls, args, state):
    error = cls.__new__(cls, *args)
    Exception.__init__(error, *args)
    error.__dict__.update(state)
    return error


def _errors():
    bases = {
        "HostStartError": RuntimeError,
        "HostDied": ConnectionError,
        "ConnectionLost": ConnectionError,
        "HostClosed": ConnectionError,
        "CallTimeout": TimeoutError,
        "CallCancelled": None,
        "RemoteError": None,
        "ArgumentError": TypeError,
        "ResultError": TypeError,
        "ObjectGone": ReferenceError,
        "Overloaded": RuntimeError,
        "MessageTooLarge": ValueError,
        "ProtocolError": ConnectionError,
        "AuthenticationError": PermissionError,
        "DeadlockError": RuntimeError,
    }
    made = {"ElsewhereError": ElsewhereError}
    for name, base in bases.items():
        parents = (ElsewhereError,) if base is None else (ElsewhereError, base)
        made[name] = type(name, parents, {"__module__": "elsewhere"})
    ElsewhereError.__module__ = "elsewhere"
    return made


ERRORS = _errors()
CallCancelled, CallTimeout, ConnectionLost = (
    ERRORS[name] for name in ("CallCancelled", "CallTimeout", "ConnectionLost")
)
ArgumentError, ObjectGone, RemoteError = (ERRORS[name] for name in ("ArgumentError", "ObjectGone", "RemoteError"))


class Ref:
    """Goes by reference, never as a copy."""

    __slots__ = ("object",)

    def __init__(self, value):
        self.object = value

    def __reduce_ex__(self, protocol):
        return _offer(self)


# ---------------------------------------------------------------- values, written
class _NoForm(Exception):
    """The codec has no form for a value: the whole is pickled."""


class _Encoder:
    """Writes values. What it granted is taken back if the message is never sent."""

    __slots__ = (
        "conn",
        "containers",
        "depth",
        "granted",
        "is_argument",
        "is_in_tuple",
        "lent",
        "long",
        "nested",
        "out",
    )

    def __init__(self, conn, is_argument, out=None):
        self.conn = conn
        self.is_argument = is_argument
        self.out = bytearray() if out is None else out
        self.granted = []
        self.lent = []
        self.containers = []
        self.long = {}
        self.depth = self.nested = 0
        self.is_in_tuple = False

    def mark(self):
        return len(self.out), len(self.granted), len(self.lent)

    def roll_back(self, mark):
        position, granted, lent = mark
        for slot, generation in self.lent[lent:]:
            self.conn.memory.ours[slot] = generation  # as if it had come back
        del self.lent[lent:]
        del self.out[position:]
        self.conn.ungrant(self.granted[granted:])
        del self.granted[granted:]
        del self.containers[:]
        self.long.clear()
        self.depth = self.nested = 0
        self.is_in_tuple = False

    def abandon(self):
        self.roll_back((0, 0, 0))

    def value(self, value):
        """Write by the codec; raise _NoForm where that has no form."""
        write = _WRITERS.get(id(type(value)))  # by identity: a class may have a `__hash__` of its own
        if write is None:
            _write_other(self, value)
        else:
            write(self, value)

    def whole(self, value):
        """Write by the codec, or else as one pickle."""
        mark = self.mark()
        try:
            self.value(value)
        except _NoForm:
            self.roll_back(mark)
            self.pickle(value)

    def arguments(self, args, kwargs):
        mark = self.mark()
        try:
            _list_head(self.out, len(args))
            for value in args:
                self.value(value)
            _map_head(self.out, len(kwargs))
            for name, value in kwargs.items():
                self.value(name)
                self.value(value)
        except _NoForm:
            self.roll_back(mark)
            self.pickle((args, kwargs))

    def offer(self, value):
        conn = self.conn
        object_id = conn.export(value)
        self.granted.append(object_id)
        class_id, described = conn.class_out(type(value))
        self.out += b"\xc7\x0e\x08\x00" + struct.pack("<QIB", object_id, class_id, described is not None)
        if described is not None:
            module, qualname, flags, coroutines = described
            _list_head(self.out, 4)
            for part in (module, qualname, flags, coroutines):
                self.value(part)

    def home(self, object_id):
        self.out += b"\xc7\x09\x08\x01" + struct.pack("<Q", object_id)

    def receiver(self):
        self.out += b"\xd4\x08\x03"

    def pickle(self, value):
        data, flavour, references, buffers = _dumps(value, self.is_argument)
        self.out += b"\xc7\x05\x09" + struct.pack("<BHH", flavour, len(references), len(buffers))
        for reference in references:
            self.reference(reference)
        for buffer in buffers:
            raw = buffer.raw()
            if raw.ndim != 1 or raw.format != "B":  # PyPy's is no row of bytes
                raw = raw.cast("B")
            if not _lend(self, raw, raw.readonly, RAW):
                if raw.readonly:
                    _write_bytes(self, raw)
                else:
                    _extension(self.out, 6, raw)
            raw.release()
            buffer.release()
        _write_bytes(self, data)

    def reference(self, value):
        kind = type(value)
        if kind is Ref:
            self.offer(value.object)
        elif kind is Proxy or kind is Stream:
            _write_other(self, value)
        else:
            self.offer(value)


def _head(out, short, codes, length):
    if length < 1 << 16:
        out += struct.pack(">BH", codes[0], length)
    elif length < 1 << 32:
        out += struct.pack(">BI", codes[1], length)
    else:
        raise ValueError("%s of %d is longer than the protocol allows" % (short, length))


def _list_head(out, length):
    if length < 16:
        out.append(0x90 | length)
    else:
        _head(out, "a list", (0xDC, 0xDD), length)


def _map_head(out, length):
    if length < 16:
        out.append(0x80 | length)
    else:
        _head(out, "a map", (0xDE, 0xDF), length)


def _extension(out, code, payload):
    length = len(payload)
    fixed = {1: 0xD4, 2: 0xD5, 4: 0xD6, 8: 0xD7, 16: 0xD8}.get(length)
    if fixed:
        out.append(fixed)
    elif length < 256:
        out += bytes((0xC7, length))
    else:
        _head(out, "a payload", (0xC8, 0xC9), length)
    out.append(code)
    out += payload


def _write_nil(e, _value):
    e.out.append(0xC0)


def _write_bool(e, value):
    e.out.append(0xC3 if value else 0xC2)


def _write_int(e, value):
    out = e.out
    if -32 <= value < 128:
        out.append(value & 0xFF)
    elif value >= 0:
        if value < 1 << 8:
            out += bytes((0xCC, value))
        elif value < 1 << 16:
            out += struct.pack(">BH", 0xCD, value)
        elif value < 1 << 32:
            out += struct.pack(">BI", 0xCE, value)
        elif value < 1 << 64:
            out += struct.pack(">BQ", 0xCF, value)
        else:
            _write_big(out, value)
    elif value >= -(1 << 7):
        out += struct.pack(">Bb", 0xD0, value)
    elif value >= -(1 << 15):
        out += struct.pack(">Bh", 0xD1, value)
    elif value >= -(1 << 31):
        out += struct.pack(">Bi", 0xD2, value)
    elif value >= -(1 << 63):
        out += struct.pack(">Bq", 0xD3, value)
    else:
        _write_big(out, value)


def _write_big(out, value):
    length = value.bit_length() // 8 + 1
    if length > 4096:
        raise _NoForm
    _extension(out, 4, value.to_bytes(length, "little", signed=True))


def _write_float(e, value):
    e.out += struct.pack(">Bd", 0xCB, value)


def _enter_long(e, value):
    """Note a text or bytes; the same one twice is a case for pickle, where it is long."""
    if len(value) >= LARGE:
        if id(value) in e.long:
            raise _NoForm
        e.long[id(value)] = value


def _write_str(e, value):
    _enter_long(e, value)
    try:
        data = value.encode()
    except UnicodeEncodeError:  # lone surrogates are pickle's business
        raise _NoForm from None
    length = len(data)
    if length < 32:
        e.out.append(0xA0 | length)
    elif length < 256:
        e.out += bytes((0xD9, length))
    else:
        _head(e.out, "text", (0xDA, 0xDB), length)
    e.out += data


def _write_own_bytes(e, value):
    _enter_long(e, value)
    _write_bytes(e, value)


def _write_bytes(e, value):
    length = len(value)
    if length >= LARGE and type(value) is bytes and _lend(e, value, True, AS_BYTES):
        return
    if length < 256:
        e.out += bytes((0xC4, length))
    else:
        _head(e.out, "bytes", (0xC5, 0xC6), length)
    e.out += value


def _enter(e, value):
    """Note a mutable container; the same one twice, or too many of them, is a case for pickle."""
    if len(e.containers) == 16 or any(value is other for other in e.containers):
        raise _NoForm
    e.containers.append(value)


def _deeper(e):
    e.depth += 1
    if e.depth > DEPTH_MAX:
        raise _NoForm


def _write_list(e, value):
    _enter(e, value)
    _deeper(e)
    elements = value[:]  # others may change it meanwhile
    _list_head(e.out, len(elements))
    for element in elements:
        e.value(element)
    e.depth -= 1


def _write_dict(e, value):
    _enter(e, value)
    _deeper(e)
    items = value.copy()  # others may change it meanwhile
    _map_head(e.out, len(items))
    for key, element in items.items():
        e.value(key)
        e.value(element)
    e.depth -= 1


def _counted(e, code, value):
    _deeper(e)
    length = len(value)
    e.out += bytes((0xD4, code, length)) if length < 256 else bytes((0xD6, code)) + struct.pack("<I", length)
    for element in value:
        e.value(element)
    e.depth -= 1


def _nested(e, code, value):
    """Write a tuple or a frozenset; many of them in each other are a case for pickle, which writes each once."""
    outer, e.is_in_tuple = e.is_in_tuple, True
    e.nested += outer
    if e.nested > NESTED_MAX:
        raise _NoForm
    _counted(e, code, value)
    e.is_in_tuple = outer


def _write_tuple(e, value):
    _nested(e, 1, value)


def _write_set(e, value):
    _enter(e, value)
    _counted(e, 2, value.copy())  # others may change it meanwhile


def _write_frozenset(e, value):
    _nested(e, 3, value)


def _write_complex(e, value):
    _extension(e.out, 5, struct.pack("<dd", value.real, value.imag))


def _write_bytearray(e, value):
    _enter(e, value)
    with memoryview(value) as content:  # as long as this lives, nobody changes its length
        if not _lend(e, content, False, AS_BYTE_ARRAY):
            _extension(e.out, 6, content)


def _write_view(e, value):
    if not value.ndim:
        raise BufferError("a view without dimensions cannot be copied")
    if value.c_contiguous and value.nbytes:
        if _lend(e, value.cast("B"), value.readonly, AS_VIEW, _form_of(value)):
            return
    form = value.format.encode()
    head = struct.pack("<BBB", value.readonly, value.ndim, len(form)) + form
    head += struct.pack("<%dQ" % value.ndim, *value.shape)
    _extension(e.out, 7, head + value.tobytes())


_WRITERS = {
    type(None): _write_nil,
    bool: _write_bool,
    int: _write_int,
    float: _write_float,
    str: _write_str,
    bytes: _write_own_bytes,
    list: _write_list,
    dict: _write_dict,
    tuple: _write_tuple,
    set: _write_set,
    frozenset: _write_frozenset,
    complex: _write_complex,
    bytearray: _write_bytearray,
    memoryview: _write_view,
}
_WRITERS = {id(kind): write for kind, write in _WRITERS.items()}
IMMUTABLE = frozenset(map(id, (type(None), bool, int, float, str, bytes, tuple, complex, frozenset)))

GENERATOR = types.GeneratorType
ASYNC_GENERATOR = types.AsyncGeneratorType
COROUTINE = types.CoroutineType


def _write_other(e, value):
    kind = type(value)
    if kind is Proxy:
        steps = object.__getattribute__(value, "_steps")
        imported = object.__getattribute__(value, "_import")
        if not steps:
            e.home(imported.id)
        else:
            e.out += _place(e, imported.id, steps)
    elif kind is Stream:
        e.home(object.__getattribute__(value._proxy, "_import").id)
    elif kind is Ref:
        e.offer(value.object)
    elif _goes_by_reference(value, kind, e.is_argument):
        e.offer(value)
    elif not _write_grid(e, value):
        raise _NoForm


def _place(e, object_id, steps):
    """The payload of a path: steps are (op, operand), two values each."""
    head = b"\xc7\x0f\x08\x02" + struct.pack("<QHI", object_id, len(steps), 2 * len(steps))
    position = len(e.out)
    for op, operand in steps:
        e.value(op)
        e.value(operand)
    body = bytes(e.out[position:])
    del e.out[position:]
    return head + body


def _goes_by_reference(value, kind, is_argument):
    if kind is GENERATOR or kind is ASYNC_GENERATOR:
        return True
    if is_argument:
        return kind is types.MethodType and not isinstance(value.__self__, (type, types.ModuleType))
    return kind is types.ModuleType or _is_stream_type(kind)


def _is_stream_type(kind):
    """Whether all one can do with objects of the type is to iterate them."""
    if kind is GENERATOR:
        return True
    if type(kind) is not type or not hasattr(kind, "__next__"):
        return False
    return kind.__module__ in ("builtins", "itertools") and all(name.startswith("_") for name in dir(kind))


# ---------------------------------------------------------------- memory
LARGE = 64 * 1024
"""From this size on content goes in memory of its own."""

KEPT, KEPT_BYTES = 4, 256 << 20
ROOM_PATIENCE = 1000  # milliseconds
LAYOUT = b"elswhr\x03\x00"
TABLES, SLOTS = 4096, 1024
RAW, AS_BYTES, AS_BYTE_ARRAY, AS_VIEW, AS_ARRAY, AS_GRID = range(6)
PLAIN_FORMATS = frozenset("? b B h H i I l L q Q e f d Zf Zd".split())


class _Lent:
    """A segment that this side made, and its open loan."""

    __slots__ = ("generation", "memory", "size")

    def __init__(self, memory, size, generation):
        self.memory = memory
        self.size = size
        self.generation = generation


class _Shared:
    """Memory that both sides go on using."""

    def __init__(self, memory, fd, size, letter):
        self.memory = memory
        self.fd = fd
        self.size = size
        self.letter = letter
        self.start = None
        self.number = None

    def address(self, numpy):
        if self.start is None:
            self.start = numpy.frombuffer(self.memory, numpy.uint8).__array_interface__["data"][0]
        return self.start

    def close(self):
        self.memory.close()
        os.close(self.fd)


class _Memory:
    """The memory that both sides pass instead of bytes: see section 11 of the specification.

    Of the channel that the owner offers only the two free tables are used, a word for each slot: whoever has used
    up a loan writes its number there. The descriptors go over a socket of their own.
    """

    def __init__(self, channel, words):
        tables = memoryview(channel)[TABLES : TABLES + 8 * SLOTS].cast("I")
        self.theirs, self.ours = tables[:SLOTS], tables[SLOTS:]
        self.words = words
        self.borrowed = {}
        self.shared = {}
        self.kept = []
        self.next_number = 0
        self.slots = {}
        self.free = collections.deque()
        self.generations = {}
        self.retired = []
        self.lock = threading.Lock()
        self.can_lend = hasattr(os, "memfd_create")

    # ------------------------------------------------------------ of the owner's
    def take_words(self):
        """Take the descriptors that lie in the socket, without waiting."""
        import mmap

        while True:
            try:
                data, ancillary, _, _ = self.words.recvmsg(17, socket.CMSG_SPACE(4), socket.MSG_DONTWAIT)
            except (BlockingIOError, OSError):
                return
            if len(data) < 17:
                return
            fds = [struct.unpack_from("i", content)[0] for level, kind, content in ancillary if len(content) >= 4]
            number, size = struct.unpack_from("<QQ", data, 1)
            page = mmap.PAGESIZE
            try:
                mapped = mmap.mmap(fds[0], -(-size // page) * page) if fds else None
            except (OSError, ValueError):
                mapped = None
            if data[0] in b"BR":
                self.borrowed[number & 0xFFFFFFFF] = (mapped, number >> 32)
            elif mapped is not None:
                self.shared[number] = _Shared(mapped, fds.pop(), size, data[:1])
            for fd in fds:
                os.close(fd)

    def borrow(self, slot, generation):
        """The segment that a message names as lent; None where it could not be mapped."""
        known = self.borrowed.get(slot)
        if known is None or known[0] is None or (generation - known[1]) & 0x80000000:
            self.take_words()
            known = self.borrowed.get(slot)
        return known and known[0]

    def give_back(self, slot, generation):
        self.theirs[slot] = generation

    def shared_memory(self, number):
        if number not in self.shared:
            self.take_words()
        known = self.shared.get(number)
        return known and known.memory

    def tell(self, word, fd):
        """Tell the owner of a segment. BlockingIOError where earlier words are not read, for which it is not woken."""
        passed = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, struct.pack("i", fd))]
        self.words.sendmsg([word], passed, socket.MSG_DONTWAIT)

    def name_of(self, content, make_room):
        """The number by which the owner knows shared memory that `content` lies in, and where; None for any other."""
        numpy = sys.modules.get("numpy")
        if numpy is None or not (self.shared or self.kept) or len(content) == 0:
            return None
        start = numpy.frombuffer(content, numpy.uint8).__array_interface__["data"][0]
        for known in itertools.chain(self.shared.values(), self.kept):
            offset = start - known.address(numpy)
            if 0 <= offset and offset + len(content) <= known.size:
                if known.number is None:
                    self.next_number += 1
                    word = known.letter + struct.pack("<QQ", self.next_number, known.size)
                    try:
                        self.tell(word, known.fd)
                    except BlockingIOError:
                        make_room()
                        self.tell(word, known.fd)
                    known.number = self.next_number
                return known.number, offset
        return None

    def forget_shared(self, number):
        if number not in self.shared:
            self.take_words()  # it was told, and no message named it
        known = self.shared.pop(number, None)
        if known is None:
            return
        try:
            known.close()
        except BufferError:  # it is in use, and may be passed on
            self.kept.append(known)
        else:
            if known.number is not None:
                self.retired.append((1, known.number))

    def forget(self, what, number):
        slot, generation = number & 0xFFFFFFFF, number >> 32
        if what == 0:
            known = self.borrowed.get(slot)
            if known is not None and not (generation - known[1]) & 0x80000000:
                del self.borrowed[slot]
        elif what == 1:
            self.forget_shared(number)
        elif what == 2:
            with self.lock:
                lent = self.slots.get(slot)
                if lent is not None and lent.generation == generation:
                    del self.slots[slot]
                    self.generations.pop(slot, None)
                    self.generations[slot] = None  # the slot is not used again

    # ------------------------------------------------------------ of ours
    def lend(self, content):
        """Lend a copy of `content`, a view of bytes: slot and number of the loan; None where there is no memory."""
        if not self.can_lend:
            return None
        with self.lock:
            need = len(content)
            self.collect()
            slot = next((slot for slot in self.free if need <= self.slots[slot].size <= need + need // 8 + 8192), None)
            try:
                if slot is None:
                    slot = self.make(need)
                else:
                    self.free.remove(slot)
            except (OSError, ValueError):
                return None
            if slot is None:
                return None
            lent = self.slots[slot]
            lent.generation += 1
            self.generations[slot] = lent.generation
            lent.memory[:need] = content
            return slot, lent.generation

    def collect(self):
        """See what was given back, and let go of what is too much: the owner is told with the next message."""
        for slot, lent in self.slots.items():
            if slot not in self.free and self.ours[slot] == lent.generation:
                self.free.append(slot)
        while len(self.free) > KEPT or sum(self.slots[slot].size for slot in self.free) > KEPT_BYTES:
            slot = self.free.popleft()
            self.retired.append((0, slot | self.slots.pop(slot).generation << 32))

    def make(self, need):
        """A new segment, whose descriptor the owner gets; its slot, or None where all are in use."""
        import fcntl
        import mmap

        slot = next(
            (slot for slot in range(SLOTS) if slot not in self.slots and self.generations.get(slot, 0) is not None),
            None,
        )
        if slot is None:
            return None
        size = -(-need // mmap.PAGESIZE) * mmap.PAGESIZE
        fd = os.memfd_create("elsewhere", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
        try:
            os.posix_fallocate(fd, 0, size)
            fcntl.fcntl(fd, 1033, 1 | 2 | 4)  # F_ADD_SEALS: SEAL, SHRINK, GROW
            before = self.generations.get(slot, 0)
            memory = mmap.mmap(fd, size)
            try:
                self.tell(b"B" + struct.pack("<QQ", slot | (before + 1) << 32, size), fd)
            except OSError:
                memory.close()
                raise
        finally:
            os.close(fd)
        self.slots[slot] = _Lent(memory, size, before)
        return slot


_loans = []


def _loan_class():
    """Arrays over memory that is lent: it is given back when the last view of it goes. None without numpy."""
    if not _loans:
        numpy = sys.modules.get("numpy")
        if numpy is None:
            return None

        class Loan(numpy.ndarray):
            """Bytes of the owner's memory."""

            give_back = None

            def __del__(self):
                if self.give_back is not None:
                    memory, slot, generation = self.give_back
                    memory.give_back(slot, generation)

        def lend(segment, length, *loan):
            made = Loan((length,), numpy.uint8, segment)
            made.give_back = loan
            return made

        _loans.append(lend)
    return _loans[0]


def _read_buffer(r, payload):
    place, is_read_only, form, first, second, length = struct.unpack_from("<BBBQQQ", payload)
    memory = r.conn.memory
    if memory is None:
        raise ValueError("memory is named that was never handed over")
    if place == 1:
        if r.is_discarding:
            return None
        segment = memory.shared_memory(first)
        if segment is None:
            raise OSError("the memory that it lies in could not be mapped here")
        content = memoryview(segment)[second : second + length]
        return _shaped(
            content.toreadonly() if is_read_only and hasattr(content, "toreadonly") else content, form, payload
        )
    segment = memory.borrow(first, second)
    if segment is None:
        memory.give_back(first, second)
        if r.is_discarding:
            return None
        raise OSError("the memory that it lies in could not be mapped here")
    if r.is_discarding:
        memory.give_back(first, second)
        return None
    if form == AS_GRID:
        __import__("numpy")
    make = _loan_class()
    if make is None or form in (AS_BYTES, AS_BYTE_ARRAY, AS_ARRAY):
        is_constant = form == AS_BYTES or (is_read_only and form != AS_BYTE_ARRAY)
        content = segment[:length] if is_constant else bytearray(memoryview(segment)[:length])
        memory.give_back(first, second)
        return _shaped(content, form, payload)
    loan = make(segment, length, memory, first, second)
    if is_read_only:
        loan.flags.writeable = False
    return _shaped(loan if form == AS_GRID else memoryview(loan), form, payload)


def _shaped(content, form, payload):
    """What is made of the bytes of a buffer."""
    if form in (RAW, AS_BYTES, AS_BYTE_ARRAY):
        return content
    at = 27 + (form == AS_GRID)
    if form == AS_ARRAY:
        import array

        made = array.array(chr(payload[27]))
        made.frombytes(content)
        return made
    dimensions, length = payload[at : at + 2]
    kind = payload[at + 2 : at + 2 + length].decode()
    shape = struct.unpack_from("<%dQ" % dimensions, payload, at + 2 + length)
    if form == AS_VIEW:
        return _make_view(content, kind, shape)
    numpy = sys.modules.get("numpy") or __import__("numpy")
    return numpy.ndarray(shape, {"Zf": "F", "Zd": "D"}.get(kind, kind), content, 0, None, "F" if payload[27] else "C")


def _lend(e, content, is_read_only, form, rest=b""):
    """Write the name of `content` in shared memory, or of a copy in memory of its own; False for what goes inside."""
    memory = e.conn.memory
    if e.is_argument or memory is None:
        return False
    name = memory.name_of(content, e.conn.make_room_for_words) if form in (RAW, AS_VIEW, AS_GRID) else None
    if name is not None:
        _extension(e.out, 10, struct.pack("<BBBQQQ", 1, is_read_only, form, name[0], name[1], len(content)) + rest)
        return True
    if len(content) < LARGE:
        return False
    loan = memory.lend(content)
    if loan is None:
        return False
    _extension(e.out, 10, struct.pack("<BBBQQQ", 0, is_read_only, form, loan[0], loan[1], len(content)) + rest)
    e.lent.append(loan)
    return True


def _make_machine_array(typecode, content):
    """What large arrays of the module `array` are pickled as."""
    import array

    made = array.array(typecode)
    made.frombytes(content)
    return made


def _make_dates(numbers, dtype):
    """What large arrays of dates are pickled as."""
    return numbers.view(dtype)


def _make_strided(span, shape, strides, offset, dtype):
    """What views with gaps of shared memory are pickled as."""
    numpy = sys.modules.get("numpy") or __import__("numpy")
    return numpy.ndarray(shape, dtype, span, offset, strides)


def _reduce_array(array):
    """Views with gaps of shared memory are pickled as what they are."""
    import pickle

    memory = CONNECTION.memory
    if array.dtype.kind in "mM" and array.nbytes >= LARGE:
        return _make_dates, (array.view("i8"), array.dtype)
    if (
        memory is None
        or array.flags.forc
        or array.dtype.hasobject
        or array.size == 0
        or type(array) is not sys.modules["numpy"].ndarray
    ):
        return array.__reduce_ex__(PROTOCOL)
    start = array.__array_interface__["data"][0]
    reach = [(size - 1) * stride for size, stride in zip(array.shape, array.strides)]  # noqa: B905 - `strict` is newer than this has to run on

    low = start + sum(step for step in reach if step < 0)
    high = start + sum(step for step in reach if step > 0) + array.itemsize
    for known in itertools.chain(memory.shared.values(), memory.kept):
        offset = low - known.address(sys.modules["numpy"])
        if 0 <= offset and offset + high - low <= known.size:
            span = memoryview(known.memory)[offset : offset + high - low]
            span = span if array.flags.writeable else span.toreadonly()
            return _make_strided, (pickle.PickleBuffer(span), array.shape, array.strides, start - low, array.dtype)
    return array.__reduce_ex__(PROTOCOL)


def _form_of(view):
    form = view.format.encode()
    return struct.pack("<BB", view.ndim, len(form)) + form + struct.pack("<%dQ" % view.ndim, *view.shape)


def _write_grid(e, value):
    """Write an array of numpy that is large; False for any other, and for what only pickle can tell."""
    if e.is_argument or e.conn.memory is None:
        return False
    numpy = sys.modules.get("numpy")
    has_shared = e.conn.memory.shared or e.conn.memory.kept
    if numpy is None or type(value) is not numpy.ndarray or (value.nbytes < LARGE and not has_shared):
        return False
    is_fortran = not value.flags.c_contiguous
    if is_fortran and not value.flags.f_contiguous:
        return False
    try:
        view = memoryview(value)
    except (ValueError, BufferError):  # dates and the like have no buffer
        return False
    if view.format not in PLAIN_FORMATS:
        return False
    if any(value is other for other in e.containers):
        raise _NoForm  # it stands in two places, and is to be one there
    if value.nbytes == 0:
        return False
    flat = memoryview((value.T if is_fortran else value).reshape(-1)).cast("B")
    if not _lend(e, flat, not value.flags.writeable, AS_GRID, struct.pack("<B", is_fortran) + _form_of(view)):
        return False
    e.containers.append(value)
    return True


# ---------------------------------------------------------------- values, read
class _Gone(Exception):
    """A reference names an object that is not held here."""


class _Reader:
    """Reads the values of one body, one after another."""

    __slots__ = ("body", "conn", "is_discarding", "is_lenient", "position", "receiver")

    def __init__(self, conn, body, position=0, receiver=None):
        self.is_lenient = False
        self.is_discarding = False
        self.conn = conn
        self.body = body
        self.position = position
        self.receiver = receiver

    def value(self):
        body, at = self.body, self.position
        first = body[at]
        self.position = at + 1
        if first < 0x80:
            return first
        if first >= 0xE0:
            return first - 256
        if first >= 0xC0:
            return _READERS[first](self, first)
        if first >= 0xA0:
            end = self.position = at + 1 + (first & 31)
            return body[at + 1 : end].decode()
        if first >= 0x90:
            return [self.value() for _ in range(first & 15)]
        return self.map(first & 15)

    def map(self, length):
        made = {}
        for _ in range(length):
            key = self.value()
            made[key] = self.value()
        return made

    def take(self, length):
        at = self.position
        end = self.position = at + length
        taken = self.body[at:end]
        if len(taken) != length:
            raise ValueError("a message ends in the midst of a value")
        return taken

    def number(self, form, length):
        return struct.unpack(form, self.take(length))[0]

    def arguments(self):
        """The arguments of a call: a list and a map, or one pickle of (tuple, dict)."""
        first = self.value()
        return (first, self.value()) if type(first) is list else first

    def discard(self):
        """Read the rest without making anything of it: what it offers goes back."""
        self.is_discarding = True
        try:
            while not self.is_at_end():
                self.value()
        except (ValueError, IndexError, TypeError, struct.error):
            pass  # nothing can be said of what cannot be read

    def is_at_end(self):
        return self.position >= len(self.body)


def _read_constant(constant):
    return lambda r, first: constant


def _read_number(form, length):
    return lambda r, first: r.number(form, length)


def _read_text(form, width):
    return lambda r, first: r.take(r.number(form, width)).decode()


def _read_blob(form, width):
    return lambda r, first: bytes(r.take(r.number(form, width)))


def _read_list(form, width):
    return lambda r, first: [r.value() for _ in range(r.number(form, width))]


def _read_map(form, width):
    return lambda r, first: r.map(r.number(form, width))


def _read_fixed(length):
    return lambda r, first: _read_extension(r, length)


def _read_long(form, width):
    return lambda r, first: _read_extension(r, r.number(form, width))


_READERS = {
    0xC0: _read_constant(None),
    0xC2: _read_constant(False),
    0xC3: _read_constant(True),
    0xC4: _read_blob(">B", 1),
    0xC5: _read_blob(">H", 2),
    0xC6: _read_blob(">I", 4),
    0xC7: _read_long(">B", 1),
    0xC8: _read_long(">H", 2),
    0xC9: _read_long(">I", 4),
    0xCB: _read_number(">d", 8),
    0xCC: _read_number(">B", 1),
    0xCD: _read_number(">H", 2),
    0xCE: _read_number(">I", 4),
    0xCF: _read_number(">Q", 8),
    0xD0: _read_number(">b", 1),
    0xD1: _read_number(">h", 2),
    0xD2: _read_number(">i", 4),
    0xD3: _read_number(">q", 8),
    0xD4: _read_fixed(1),
    0xD5: _read_fixed(2),
    0xD6: _read_fixed(4),
    0xD7: _read_fixed(8),
    0xD8: _read_fixed(16),
    0xD9: _read_text(">B", 1),
    0xDA: _read_text(">H", 2),
    0xDB: _read_text(">I", 4),
    0xDC: _read_list(">H", 2),
    0xDD: _read_list(">I", 4),
    0xDE: _read_map(">H", 2),
    0xDF: _read_map(">I", 4),
}


def _read_extension(r, length):
    code = r.number("B", 1)
    payload = r.take(length)
    read = _EXTENSIONS.get(code)
    if read is None:
        raise ValueError("an extension %d that is not known" % code)
    return read(r, payload)


def _several(r, payload):
    count = payload[0] if len(payload) == 1 else struct.unpack("<I", payload)[0]
    return [r.value() for _ in range(count)]


def _made_view(payload):
    readonly, dimensions, length = payload[:3]
    form = payload[3 : 3 + length].decode()
    at = 3 + length
    shape = struct.unpack_from("<%dQ" % dimensions, payload, at)
    data = payload[at + 8 * dimensions :]
    return _make_view(data if readonly else bytearray(data), form, shape)


def _make_view(data, form, shape):
    """What memoryviews are pickled as."""
    flat = memoryview(data)
    return flat if form == "B" and len(shape) == 1 else flat.cast(form, shape)


def _made_array(payload):
    import array

    return array.array(chr(payload[0]), bytes(payload[1:]))


def _read_reference(r, payload):
    kind, conn = payload[0], r.conn
    if r.is_discarding:
        return _discarded(r, payload, kind)
    if kind == 0:
        object_id, class_id, is_described = struct.unpack_from("<QIB", payload, 1)
        return conn.imported(object_id, class_id, r.value() if is_described else None)
    if kind == 1:
        return conn.exported(struct.unpack_from("<Q", payload, 1)[0])
    if kind == 2:
        object_id, steps, _ = struct.unpack_from("<QHI", payload, 1)
        walk = _Walk(conn.exported(object_id) if object_id else None, bool(object_id))
        try:
            for left in range(steps - 1, -1, -1):
                walk.step(r, left)
        except (_Gone, _Argument):
            raise
        except Exception as error:
            raise _Evaluated(error) from error
        return walk.current
    if kind == 3 and r.receiver is not None:
        return r.receiver
    if kind == 4:
        return conn.ask_answer(struct.unpack_from("<Q", payload, 1)[0])
    raise ValueError("a reference of a kind that is not known here: %d" % kind)


def _discarded(r, payload, kind):
    if kind == 0:
        object_id, class_id, is_described = struct.unpack_from("<QIB", payload, 1)
        r.conn.imported(object_id, class_id, r.value() if is_described else None)  # dropped at once


def _read_pickle(r, payload):
    flavour, references, buffers = struct.unpack("<BHH", payload)
    table = [r.value() for _ in range(references)]
    buffers = [r.value() for _ in range(buffers)]
    data = r.value()
    if r.is_discarding:
        return None
    if flavour == 1:
        _complete_cloudpickle()
    try:
        return _loads(data, table, buffers)
    except Exception:
        if r.is_lenient:
            return None  # the record tells enough without it
        raise


_EXTENSIONS = {
    1: lambda r, payload: tuple(_several(r, payload)),
    2: lambda r, payload: set(_several(r, payload)),
    3: lambda r, payload: frozenset(_several(r, payload)),
    4: lambda r, payload: int.from_bytes(payload, "little", signed=True),
    5: lambda r, payload: complex(*struct.unpack("<dd", payload)),
    6: lambda r, payload: bytearray(payload),
    7: lambda r, payload: _made_view(payload),
    8: _read_reference,
    9: _read_pickle,
    10: _read_buffer,
    11: lambda r, payload: _made_array(payload),
}


# ---------------------------------------------------------------- pickles
class _Tables(threading.local):
    """The references of the pickles that this thread writes and reads, the innermost last."""

    def __init__(self):
        super().__init__()
        self.writing = []
        self.reading = []


_tables = _Tables()


def _reference(index):
    """What a reference in a pickle is loaded by."""
    if not _tables.reading:
        raise TypeError("a reference can only be read inside a message")
    return _tables.reading[-1][index]


def _offer(value):
    """Make `value` travel by reference in the pickle that is being written."""
    if not _tables.writing:
        raise TypeError("a reference can only be sent inside a message; elsewhere.ref(x) is one")
    table = _tables.writing[-1]
    table.append(value)
    return _reference, (len(table) - 1,)


def _reduce_method(method):
    if isinstance(method.__self__, (type, types.ModuleType)):
        return method.__reduce__()
    return _offer(method)


def _reduce_view(view):
    import pickle

    data = view if view.c_contiguous else memoryview(view.tobytes() if view.readonly else bytearray(view.tobytes()))
    if PROTOCOL >= 5:
        return _make_view, (pickle.PickleBuffer(data), view.format, view.shape)
    return _make_view, (bytes(data) if view.readonly else bytearray(data), view.format, view.shape)


HEAP_TYPE = 1 << 9  # the flag of a class that was made while the program ran

PROTOCOL = 4 if sys.version_info < (3, 8) else 5

_MOVED = (("pathlib._local", "pathlib"), ("numpy._core", "numpy.core"), ("numpy.core", "numpy._core"))
"""Modules whose names in pickles depend on the version that wrote them."""


def _picklers():
    """The picklers, made when the first is needed: to import pickle takes longer than to start."""
    import copyreg
    import io
    import pickle

    def check(value):
        if isinstance(value, (type, types.FunctionType)) and _is_only_here(value.__module__):
            raise TypeError("%s exists only there, in %s" % (value.__qualname__, value.__module__))

    class Checked(pickle.Pickler):
        """Refuses classes and functions that only exist here."""

        if sys.version_info >= (3, 8):

            def reducer_override(self, value):
                check(value)
                return NotImplemented

        else:  # slower: it is asked of every object

            def persistent_id(self, value):
                check(value)

    class Moved(pickle.Unpickler):
        """Knows where other versions have their classes."""

        def find_class(self, module, name):
            try:
                return super().find_class(module, name)
            except ImportError:
                for theirs, ours in _MOVED:
                    if module == theirs or module.startswith(theirs + "."):
                        return super().find_class(ours + module[len(theirs) :], name)
                raise

    known = {}

    def reducers_for(is_argument):
        """What is reduced in another way than by itself; made anew when a module registers more."""
        key = is_argument, len(copyreg.dispatch_table)
        if key not in known:
            known[key] = reducers = dict(copyreg.dispatch_table)
            reducers[memoryview] = _reduce_view
            if is_argument:
                reducers[types.MethodType] = _reduce_method
                reducers[GENERATOR] = reducers[ASYNC_GENERATOR] = _offer
        return known[key]

    def dump(value, is_argument, collect):
        file = io.BytesIO()
        kind = Checked if _only_here and not is_argument else pickle.Pickler
        pickler = kind(file, PROTOCOL, buffer_callback=collect) if PROTOCOL >= 5 else kind(file, PROTOCOL)
        pickler.dispatch_table = reducers_for(is_argument)
        if PROTOCOL >= 5 and not is_argument and hasattr(sys.modules.get("numpy"), "ndarray"):
            pickler.dispatch_table = dict(pickler.dispatch_table)
            pickler.dispatch_table[sys.modules["numpy"].ndarray] = _reduce_array
        pickler.dump(value)
        data = file.getvalue()
        if b"\x8c\x0f_pickle_support" in data and sys.implementation.name == "pypy":
            raise TypeError("PyPy's pickle of it means nothing to other Pythons")  # frames, methods of builtin types
        return data

    def load(data, buffers):
        if any(theirs.encode() in data for theirs, _ in _MOVED):
            file = io.BytesIO(data)
            return (Moved(file, buffers=buffers) if PROTOCOL >= 5 else Moved(file)).load()
        return pickle.loads(data, buffers=buffers) if PROTOCOL >= 5 else pickle.loads(data)

    return dump, load, pickle.PicklingError


_pickling = []


def _picklers_once():
    if not _pickling:
        _pickling.append(_picklers())  # twice perhaps, by threads at once
    return _pickling[0]


def _dumps(value, is_argument):
    """Pickle `value`: its bytes, its flavour, the references and the buffers beside it."""
    dump, _, _ = _picklers_once()
    buffers, table = [], []
    _tables.writing.append(table)
    try:
        data = dump(value, is_argument, buffers.append)
        if len(buffers) >= 1 << 16:  # more than a message can count: they go inside
            _let_go(buffers)
            del table[:]
            data = dump(value, is_argument, None)
        flavour = 0
    except Exception as first:
        _let_go(buffers)
        if not is_argument and isinstance(first, TypeError):
            raise  # locks, sockets and the like, which nothing can help
        pickler = _by_value_pickler()
        if pickler is None:
            raise
        del table[:]
        try:
            data = pickler(value, is_argument, buffers.append)
        except Exception:
            _let_go(buffers)
            raise first from None
        flavour = 1
    finally:
        _tables.writing.pop()
    return data, flavour, table, buffers


def _let_go(buffers):
    """End the hold on what stood beside a pickle that is not sent: a held view in a circle may crash CPython."""
    for buffer in buffers:
        buffer.release()
    del buffers[:]


def _by_value_pickler():
    """cloudpickle, where the owner runs the same version of Python: code means nothing to another one."""
    if not TOLD.get("is_same_python"):
        return None
    try:
        cloudpickle = __import__("cloudpickle")  # the one thing beside the standard library, where there is one
    except ImportError:
        return None
    import io

    class ByValue(cloudpickle.Pickler):
        """cloudpickle with the same references."""

        def reducer_override(self, value):
            kind = type(value)
            if not self.is_argument and isinstance(value, (type, types.FunctionType)):
                if _is_only_here(value.__module__):
                    raise TypeError("%s exists only there, in %s" % (value.__qualname__, value.__module__))
            if self.is_argument and _goes_by_reference(value, kind, True):
                return _offer(value)
            if kind is memoryview:
                return _reduce_view(value)
            if isinstance(value, io.TextIOWrapper):  # cloudpickle would send what it contains
                raise TypeError("cannot pickle '%s' object" % kind.__name__)
            reduced = super().reducer_override(value)
            is_taken_apart = isinstance(value, type) and isinstance(reduced, tuple) and len(reduced) > 2
            if is_taken_apart and not value.__flags__ & HEAP_TYPE:
                raise TypeError("%r is made in C, and %s has no such class" % (value, value.__module__))
            return reduced

    def dump(value, is_argument, collect):
        file = io.BytesIO()
        pickler = ByValue(file, PROTOCOL, buffer_callback=collect)
        pickler.is_argument = is_argument
        pickler.dump(value)
        return file.getvalue()

    return dump


_completed = []


def _complete_cloudpickle():
    """Have an older cloudpickle read what the owner's newer one wrote, by the functions that it lacks."""
    finder = next((finder for finder in sys.meta_path if isinstance(finder, _Cloudpickle)), None)
    if _completed or finder is None:
        return
    import importlib.util

    file = os.path.join(finder.directory, "cloudpickle.py")
    try:
        here = __import__("cloudpickle.cloudpickle", fromlist=["dumps"])
        if os.path.realpath(here.__file__) != os.path.realpath(file):
            spec = importlib.util.spec_from_file_location("elsewhere._cloudpickle", file)
            theirs = importlib.util.module_from_spec(spec)
            spec.loader.exec_module(theirs)
            for name in vars(theirs).keys() - vars(here).keys():
                setattr(here, name, getattr(theirs, name))
    except Exception:  # whatever it is, what is missing is told when it is looked for
        pass
    _completed.append(True)  # not before: another thread may read code meanwhile


def _loads(data, table, buffers):
    _, load, _ = _picklers_once()
    _tables.reading.append(table)
    try:
        return load(data, buffers)
    finally:
        _tables.reading.pop()


def _can_be_pickled(value):
    try:
        _dumps(value, True)
    except Exception:
        return False
    return True


def _culprit(value, path):
    """The path of the innermost part of `value` that cannot be pickled, with its type's name."""
    seen = set()
    while len(seen) < 200:
        seen.add(id(value))
        for part, name in _parts(value, path):
            if id(part) not in seen and not _can_be_pickled(part):
                value, path = part, name
                break
        else:
            break
    return "%s, a %s.%s" % (path, type(value).__module__, type(value).__qualname__)


def _parts(value, path):
    if isinstance(value, dict):
        for key, part in value.items():
            yield part, "%s[%r]" % (path, key) if isinstance(key, (str, int)) else "%s[…]" % path
    elif isinstance(value, (list, tuple)):
        for index, part in enumerate(value):
            yield part, "%s[%d]" % (path, index)
    elif isinstance(value, (set, frozenset)):
        for part in value:
            yield part, "%s (an element)" % path
    elif hasattr(value, "__dict__") and not isinstance(value, type):
        for name, part in vars(value).items():
            yield part, "%s.%s" % (path, name)


# ---------------------------------------------------------------- exceptions, told
_cause, _context, _suppresses, _traceback, _args = (
    BaseException.__dict__[name].__get__
    for name in ("__cause__", "__context__", "__suppress_context__", "__traceback__", "args")
)
RELATED_LIMIT = 200
FRAME_LIMIT = 200
OWN_FILE = globals().get("__file__", "elsewhere/_bare.py")
LOOP_FILES = ("/asyncio/runners.py", "/asyncio/base_events.py")
NO_LINKS = (None, None, False, [])


def _describe(error):
    """An exception, and after it those that hang on it, each as the parts of an error record. Never raises."""
    found, links, cut = _related(error)
    entries = []
    for number, one in enumerate(found):
        limit = TEXT_LIMIT if number == 0 else 8 * 1024
        entries.append(
            (
                str(type(one).__module__),
                str(type(one).__qualname__),
                [base.__name__ for base in type(one).__mro__ if _is_builtin(base) and issubclass(base, BaseException)],
                _text_of(one, limit),
                _frames(one, limit),
                one,
                _notes(one, limit) + (["… more exceptions hang on this one; they are cut"] if number in cut else []),
                links[number],
            )
        )
    return entries


def _is_builtin(cls):
    import builtins

    return cls.__module__ == "builtins" and vars(builtins).get(cls.__name__) is cls


def _members(error):
    group = getattr(__import__("builtins"), "BaseExceptionGroup", None)
    return group.__dict__["exceptions"].__get__(error) if group and issubclass(type(error), group) else ()


def _related(error):
    found, numbers, links, position, cut = [error], {id(error): 0}, [], 0, set()
    ancestors = {0: {0}}
    while position < len(found):
        one = found[position]

        def number_of(other, position=position):
            if other is None:
                return None
            number = numbers.get(id(other))
            if number is None:
                if len(found) == RELATED_LIMIT:
                    cut.add(position)
                    return None
                number = numbers[id(other)] = len(found)
                found.append(other)
                ancestors[number] = ancestors[position] | {number}
            elif number in ancestors[position]:
                return None  # a circle is cut where it closes
            return number

        members = [number for number in map(number_of, _members(one)) if number is not None]
        links.append((number_of(_cause(one)), number_of(_context(one)), bool(_suppresses(one)), members))
        position += 1
    return found, links, cut


def _cut(text, limit):
    text = text.encode("utf-8", "backslashreplace").decode("utf-8")
    return text if len(text) <= limit else "%s … cut, %d more characters" % (text[:limit], len(text) - limit)


def _text_of(error, limit):
    try:
        if any(type(argument) is Proxy for argument in _args(error)):
            return _cut(", ".join(map(repr, _args(error))), limit)  # `str` of a proxy would be a call
        if _members(error) and type(error).__str__ is BaseException.__str__:
            return _cut(str(_args(error)[0]), limit)
        if _members(error):
            return _cut(str(error.message), limit)
        return _cut(str(error), limit)
    except BaseException as failure:
        return "<str() of the exception raised %s>" % type(failure).__name__


def _notes(error, limit):
    notes = object.__getattribute__(error, "__dict__").get("__notes__")
    if not isinstance(notes, (list, tuple)):
        return []
    return [_cut(note, limit) for note in notes[:50] if isinstance(note, str)]


def _frames(error, limit):
    """The frames that `error` passed here, as Python shows them, without ours; empty where there are none."""
    try:
        import traceback

        frames = traceback.extract_tb(_traceback(error))
        if len(frames) > FRAME_LIMIT:
            half = FRAME_LIMIT // 2
            cut = "  … %d frames cut …\n" % (len(frames) - FRAME_LIMIT)
            shown = traceback.format_list(list(_shown(frames[:half])))
            shown += [cut] + traceback.format_list(list(_shown(frames[-half:])))
        else:
            shown = traceback.StackSummary.from_list(list(_shown(frames))).format()
        return _cut("Traceback (most recent call last):\n" + "".join(shown), limit) if shown else ""
    except BaseException as failure:
        return "<the traceback could not be formatted: %s>" % type(failure).__name__


def _shown(frames):
    is_behind_ours = False
    for frame in frames:
        if frame.filename == OWN_FILE:
            is_behind_ours = True
        elif not (is_behind_ours and frame.filename.endswith(LOOP_FILES)) and "<frozen importlib" not in frame.filename:
            is_behind_ours = False
            yield frame


class _Stored:
    """Pickles as an exception with its arguments and attributes, without its own constructor being run again."""

    def __init__(self, error, builtin):
        self.error = error
        self.builtin = builtin

    def __reduce__(self):
        reduced = self.builtin.__reduce__(self.error)
        return (_restore, (type(self.error), self.builtin, reduced[1]) + tuple(reduced[2:]))


def _restore(cls, builtin, args, attributes=None):
    error = cls.__new__(cls, *args)
    builtin.__init__(error, *args)
    if attributes:
        BaseException.__setstate__(error, attributes)
    return error


class StoredGroup:
    """A group without its members, which are described by themselves."""

    def __init__(self, cls, message, attributes):
        self.cls = cls
        self.message = message
        self.attributes = attributes

    def filled(self, members):
        group = self.cls.__new__(self.cls, self.message, members)
        BaseException.__init__(group, self.message, members)
        group.__dict__.update(self.attributes)
        return group


def _payload(error):
    """What is pickled for an exception; None where nobody can."""
    if not issubclass(type(error), Exception):
        return None
    cls = type(error)
    builtin = next(base for base in cls.__mro__ if _is_builtin(base))
    if _members(error):
        attributes = object.__getattribute__(error, "__dict__")
        own = {name: value for name, value in attributes.items() if name != "__notes__"}
        is_plain = cls.__new__ is builtin.__new__
        return StoredGroup(cls, _args(error)[0], own) if is_plain else None
    if (
        isinstance(cls.__init__, types.FunctionType)
        and cls.__new__ is builtin.__new__
        and cls.__reduce__ is builtin.__reduce__
        and cls.__reduce_ex__ is object.__reduce_ex__
        and cls.__setstate__ is BaseException.__setstate__
        and not any(base.__dict__.get("__slots__") for base in cls.__mro__)
    ):
        return _Stored(error, builtin)
    return error


def _write_record(e, kind, outcome, text, error, is_of_coroutine=False):
    described = [] if error is None else _describe(error)
    related = described[1:]
    is_linked = bool(related) or bool(described and described[0][7][2])
    parts = 13 if is_linked else 11 if is_of_coroutine else 10
    _list_head(e.out, parts)
    e.value(kind)
    e.value(outcome)
    if described:
        _write_exception(e, described[0], text, EXCEPTION_MAX)
    else:
        for part in ("builtins", "RuntimeError", ["RuntimeError"], text or "", "", None, []):
            e.value(part)
        del e.containers[:]
    e.value(None)
    if parts > 10:
        e.value(is_of_coroutine)
    if parts > 11:
        e.value(list(described[0][7]))
        del e.containers[:]
        _list_head(e.out, len(related))
        for entry in related:
            _list_head(e.out, 8)
            _write_exception(e, entry, None, 1 << 16)
            e.value(list(entry[7]))
            del e.containers[:]


def _write_exception(e, entry, text, limit):
    module, qualname, bases, message, frames, error, notes, _ = entry
    for part in (module, qualname, bases, message if text is None else text, frames):
        e.value(part)
    del e.containers[:]
    mark = e.mark()
    try:
        payload = _payload(error)
        if payload is None:
            e.value(None)
        else:
            e.pickle(payload)
        if len(e.out) - mark[0] > limit:
            raise ValueError("too large")
    except BaseException:  # __reduce__ may raise anything
        e.roll_back(mark)
        e.value(None)
    e.value(notes)
    del e.containers[:]


# ---------------------------------------------------------------- exceptions, rebuilt
def _rebuilt(record, method):
    """The exception that an error record of the owner tells of."""
    kind, outcome = record[0], OUTCOMES[record[1]]
    if kind not in (RAISED, MISSING):
        name = {
            ARGUMENT: "ArgumentError",
            RESULT: "ResultError",
            GONE: "ObjectGone",
            CANCELLED: "CallCancelled",
            EXPIRED: "CallTimeout",
            REFUSED: "AuthenticationError",
            OVERLOADED: "Overloaded",
            CLOSED: "HostClosed",
            DEADLOCK: "DeadlockError",
        }.get(kind, "RemoteError")
        return ERRORS[name]("%s in the owner: %s" % (method, record[5]), outcome, "the owner", method)
    entries = [record[2:9] + [record[11] if len(record) > 11 else NO_LINKS]]
    entries += record[12] if len(record) > 12 else []
    made = {}
    for number in range(len(entries) - 1, -1, -1):
        made[number] = _rebuilt_one(entries[number], made, method)
    for number, entry in enumerate(entries):
        cause, context, suppresses, _ = entry[7]
        if context in made:
            made[number].__context__ = made[context]
        if cause in made:
            made[number].__cause__ = made[cause]
        made[number].__suppress_context__ = suppresses
    return made[0]


def _rebuilt_one(entry, made, method):
    module, qualname, bases, message, frames, original, notes, links = entry
    if isinstance(original, StoredGroup):
        original = original.filled([made[number] for number in links[3] if number in made])
    if not isinstance(original, Exception) or type(original).__qualname__ != qualname:
        original = _stand_in_class(module, qualname, tuple(bases))(message)
        original.outcome, original.host, original.method = "finished", "the owner", method
        original.type_name, original.message = "%s.%s" % (module, qualname), message
        original.traceback = frames + _last_line(module, qualname, message)
    own = getattr(original, "__notes__", None) or []
    every = list(own) + [note for note in notes if note not in own]
    hops = [note for note in every if _is_hop(note)]
    hop = None
    if hops:
        hop = "%sthe owner by %s:\n%s" % (PASSED_ON, method, frames.rstrip()) if frames else None
    elif frames:
        hop = "%sthe owner by %s:\n%s%s" % (RAISED_IN, method, frames, _last_line(module, qualname, message))
    shown = [note for note in every if not _is_hop(note)] + ([hop] if hop else []) + hops
    if shown:
        original.__notes__ = shown
    return original


RAISED_IN = "\nraised in "
PASSED_ON = "\npassed on in "


def _is_hop(note):
    return isinstance(note, str) and note.startswith((RAISED_IN, PASSED_ON))


def _last_line(module, qualname, message):
    name = qualname if module in ("builtins", "__main__") else "%s.%s" % (module, qualname)
    return "%s: %s" % (name, message) if message else name


def _stand_in_class(module, qualname, bases):
    """The class that stands for one that is not here: a RemoteError that also inherits the nearest builtin."""
    import builtins

    key = (module, qualname, bases)
    if key in _stand_ins:
        return _stand_ins[key]
    kinds = [getattr(builtins, name) for name in bases if isinstance(getattr(builtins, name, None), type)]
    fitting = (kind for kind in kinds if issubclass(kind, Exception) and not issubclass(kind, StopIteration))
    base = next(fitting, Exception)
    name = qualname.rpartition(".")[2]
    if "Exception" not in bases or name in ("StopIteration", "StopAsyncIteration"):
        name = "Remote" + name
    namespace = {"__module__": module, "__reduce__": _reduce_stand_in, "_origin": key}
    namespace["__qualname__"] = name if name.startswith("Remote") else qualname
    try:
        made = type(name, (RemoteError,) if base is Exception else (RemoteError, base), namespace)
        made("probe")
    except TypeError:  # a base with a constructor of its own
        made = type(name, (RemoteError,), namespace)
    return _stand_ins.setdefault(key, made)


_stand_ins = {}


def _reduce_stand_in(self):
    return (_rebuild_stand_in,) + (self._origin + (self.args, dict(self.__dict__)),)


def _rebuild_stand_in(module, qualname, bases, args, state):
    error = _stand_in_class(module, qualname, tuple(bases))(*args[:1])
    error.__dict__.update(state)
    return error


# ---------------------------------------------------------------- operations
def _special(value, name):
    """A special method as the interpreter finds it, on the type."""
    for cls in type(value).__mro__:
        if name in cls.__dict__:
            found = cls.__dict__[name]
            bind = getattr(type(found), "__get__", None)
            return bind(found, value, type(value)) if bind else found
    return None


async def _awaited(awaitable):
    return await awaitable


def _as_coroutine(awaitable):
    return awaitable if type(awaitable) is COROUTINE else _awaited(awaitable)


def _of_context(value, name, kind, enter, leave):
    """A method of a context. What is none is refused as Python 3.11 and later do; others raise AttributeError."""
    for needed in (enter, leave):
        if not _special(value, needed):
            missed = " (missed %s method)" % leave if needed == leave else ""
            text = "'%s' object does not support the %s protocol%s" % (type(value).__name__, kind, missed)
            raise TypeError(text)
    return _special(value, name)


def _enter_context(value):
    return _of_context(value, "__enter__", "context manager", "__enter__", "__exit__")()


def _exit_context(value, *how):
    return _of_context(value, "__exit__", "context manager", "__enter__", "__exit__")(*how)


def _of_async_context(value, name):
    return _of_context(value, name, "asynchronous context manager", "__aenter__", "__aexit__")


def _anext(value):
    method = _special(value, "__anext__")
    if method is None:
        raise TypeError("'%s' object is not an async iterator" % type(value).__name__)
    return _as_coroutine(method())


def _aiter(value):
    method = _special(value, "__aiter__")
    if method is None:

        async def iterate():
            async for _ in value:
                pass

        iterate().send(None)
    return method()


def _operations():
    """What each operation does, by its code."""
    import operator

    table = {
        "len": len,
        "contains": operator.contains,
        "iter": iter,
        "next": next,
        "str": str,
        "bool": bool,
        "enter": _enter_context,
        "exit": _exit_context,
        "aenter": lambda it: _as_coroutine(_of_async_context(it, "__aenter__")()),
        "aexit": lambda it, *how: _as_coroutine(_of_async_context(it, "__aexit__")(*how)),
        "hash": hash,
        "dir": dir,
        "divmod": divmod,
        "rdivmod": lambda it, other: divmod(other, it),
        "pow": pow,
        "rpow": lambda it, other, *modulus: pow(other, it, *modulus),
        "and": operator.and_,
        "or": operator.or_,
        "int": int,
        "float": float,
        "complex": complex,
        "round": round,
        "trunc": lambda it: __import__("math").trunc(it),
        "floor": lambda it: __import__("math").floor(it),
        "ceil": lambda it: __import__("math").ceil(it),
        "bytes": bytes,
        "format": format,
        "reversed": reversed,
        "send": lambda it, value: it.send(value),
        "throw": lambda it, *how: it.throw(*how),
        "close": lambda it: it.close(),
        "anext": _anext,
        "asend": lambda it, value: _as_coroutine(it.asend(value)),
        "athrow": lambda it, *how: _as_coroutine(it.athrow(*how)),
        "aclose": lambda it: _as_coroutine(it.aclose()),
        "await": _as_coroutine,
        "aiter": _aiter,
    }
    made = {}
    for code, name in enumerate(OPERATIONS):
        found = table.get(name) or getattr(operator, name, None)
        if found is None and name.startswith("r"):
            plain = {"and": "and_", "or": "or_"}.get(name[1:], name[1:])
            found = _turned(getattr(operator, plain))
        if found is not None:
            made[code] = found
    return made


def _turned(function):
    return lambda it, other: function(other, it)


PERFORM = _operations()


# ---------------------------------------------------------------- results that are declared to go by reference
class ReturnMark:
    """What marks a function."""

    def __reduce__(self):
        return _return_mark, ()


class _Returns:
    """What is declared: marks that functions carry, and names of methods by class."""

    def __init__(self):
        self.is_any = False
        self.table = {}

    def of_call(self, callee, found):
        """Whether the result of calling `callee` goes by reference, which was looked up as `found` says."""
        if type(callee) is Proxy:
            return False
        if self.is_marked(callee):
            return True
        if found is not None:
            return self.of_name(*found)
        owner = getattr(callee, "__self__", None)
        if owner is None or isinstance(owner, types.ModuleType):
            return self.of_name(callee, "__call__")
        return self.of_name(owner, getattr(callee, "__name__", ""))

    def of_name(self, owner, name):
        """Whether results of the method `name` go by reference; methods of a class itself are called on it."""
        kinds = type(owner).__mro__ + (owner.__mro__ if isinstance(owner, type) else ())
        return any(name in self.table.get(kind, ()) or self.is_marked(vars(kind).get(name)) for kind in kinds)

    def is_marked(self, value):
        function = getattr(value, "__func__", value)
        members = getattr(function, "__dict__", None)
        return type(members) is dict and type(members.get("__by_reference__")) is ReturnMark


def _return_mark():
    _returns.is_any = True
    return ReturnMark()


def _declare_returns(table):
    """Declare names by class: what the owner asks for with `Host(returns=)`."""
    _returns.is_any = True
    _returns.table.update(table)


def by_reference(method):
    """Declare that the results of a method or function go by reference."""
    getattr(method, "__func__", method).__by_reference__ = _return_mark()
    return method


_returns = _Returns()


# ---------------------------------------------------------------- a path being taken
class _Argument(Exception):
    """An operand could not be rebuilt."""


class _Evaluated(Exception):
    """A path that was passed as an argument raised something."""


class _Missing(Exception):
    """The step before a GET_DEFAULT found nothing."""


class _Walk:
    """A path being taken, step by step."""

    __slots__ = (
        *("current", "entry", "gives_references", "has_run", "is_declared", "is_in_place", "is_looked_up"),
        *("is_started", "name", "on_begin", "receiver"),
    )

    def __init__(self, start, is_started, entry=None, on_begin=None):
        self.current = start
        self.is_started = is_started
        self.receiver = None
        self.name = None
        self.is_in_place = False
        self.is_looked_up = False
        self.is_declared = False
        self.gives_references = False
        self.has_run = False
        self.entry = entry
        self.on_begin = on_begin

    def operands(self, read):
        try:
            return read()
        except (_Gone, _Argument, _Evaluated, CallCancelled):
            raise
        except BaseException as error:
            raise _Argument(error) from error

    def step(self, r, left):
        """Take one step; `left` more follow. What is raised is raised by the object, but for _Argument and _Gone."""
        op = r.value()
        is_looked_up, self.is_looked_up = self.is_looked_up, op == ATTR
        self.is_declared = False
        if op == ATTR:
            name = r.value()
            if name in FORBIDDEN:
                raise AttributeError("%s is never reached through a proxy" % name)
            before = self.current
            self.current = self.user(getattr, (before, name), r, left)
            self.receiver = before
            self.name = name
        elif op == DO:
            args, kwargs = self.operands(r.arguments)
            if left == 0 and self.on_begin is not None:
                self.on_begin()
            function = self.current
            self.has_run = True
            self.current = self.user(function, args, r, -1, kwargs)
            if _returns.is_any:
                is_run = self.receiver is BOOTSTRAP and args  # which runs what it is given
                found = (self.receiver, self.name) if is_looked_up and not is_run else None
                self.is_declared = _returns.of_call(args[0] if is_run else function, found)
        elif op == ITEM:
            key = self.operands(r.value)
            self.current = self.user(_get_item, (self.current, key), r, left)
        elif op == OPERATE:
            code = r.value()
            operands = self.operands(r.value)
            perform = PERFORM.get(code)
            if perform is None:
                raise ValueError("unknown operation")
            self.has_run = True
            before = self.current
            self.is_in_place = code in IN_PLACE
            self.current = self.user(perform, [before] + list(operands), r, -1)
            self.receiver = before
            if _returns.is_any:
                name = "__%s__" % OPERATIONS[code]
                self.is_declared = self.gives_references or _returns.of_name(before, name)
        elif op == GET_DEFAULT:
            pass
        elif op == START:
            self.current = self.operands(r.value)
            self.is_started = True
        elif op in (SET_ATTR, DEL_ATTR):
            name = r.value()
            if name in FORBIDDEN:
                raise AttributeError("%s is never reached through a proxy" % name)
            if op == SET_ATTR:
                self.user(setattr, (self.current, name, self.operands(r.value)), r, -1)
            else:
                self.user(delattr, (self.current, name), r, -1)
            self.current = None
        elif op in (SET_ITEM, DEL_ITEM):
            key = self.operands(r.value)
            if op == SET_ITEM:
                self.user(_set_item, (self.current, key, self.operands(r.value)), r, -1)
            else:
                self.user(_del_item, (self.current, key), r, -1)
            self.current = None
        else:
            raise _Argument(ValueError("unknown step %r" % op))

    def user(self, function, args, r, left, kwargs=None):
        """Run code of the user's: what may be broken off."""
        entry = self.entry
        if entry is not None:
            entry.is_in_user = True
            if entry.is_due:
                entry.raise_if_due()
        try:
            return function(*args, **kwargs) if kwargs else function(*args)
        except (AttributeError, KeyError, IndexError) as error:
            if left == 1 and r.body[r.position] == GET_DEFAULT:
                raise _Missing(error) from error
            raise
        finally:
            if entry is not None:
                entry.is_in_user = False


def _get_item(value, key):
    return value[key]


def _set_item(value, key, element):
    value[key] = element


def _del_item(value, key):
    del value[key]


# ---------------------------------------------------------------- the calls that run here
class _Entry:
    """A call that runs, and how it is broken off."""

    __slots__ = ("call", "chain", "is_due", "is_in_user", "is_raised", "limit", "loop", "slot", "task", "thread")

    def __init__(self, call, chain, loop=None, limit=None):
        self.call = call
        self.chain = chain
        self.thread = threading.get_ident()
        self.is_due = False
        self.is_raised = False
        self.is_in_user = False
        self.slot = None
        self.task = None
        self.loop = loop
        self.limit = limit

    def raise_if_due(self):
        if self.is_due and not self.is_raised:
            self.is_raised = True
            raise CallCancelled("the caller gave this call up and wants it broken off", "unknown")


class _Here(threading.local):
    """What this thread does: the calls it runs, the innermost last, and its lane."""

    def __init__(self):
        super().__init__()
        self.entries = []
        self.lane = next(_lanes)
        self.numbers = itertools.count()
        self.limit = None


_lanes = itertools.count(1)
_here = _Here()


class _Incoming:
    """A call that came in."""

    __slots__ = ("body", "call", "chain", "lane", "limit", "steps", "target", "want", "weight")

    def __init__(self, call, chain, lane, weight, body):
        self.call = call
        self.chain = chain
        self.lane = lane
        self.weight = weight
        self.body = body
        self.target, deadline, self.want, _, self.steps = HEAD.unpack_from(body)
        self.limit = time.monotonic() + deadline / 1000.0 if deadline else None


class _Slot:
    """A call of ours whose answer is awaited, and the seat of the thread that waits for it."""

    __slots__ = (
        *(
            "answer",
            "calls",
            "chain",
            "future",
            "is_given_up",
            "is_of_coroutine",
            "limit",
            "lock",
            "method",
            "receiver",
        ),
    )

    def __init__(self, chain, receiver, method):
        self.answer = None
        self.chain = chain
        self.receiver = receiver
        self.method = method
        self.future = None
        self.limit = None
        self.is_given_up = self.is_of_coroutine = False
        self.calls = collections.deque()
        self.lock = threading.Lock()
        self.lock.acquire()

    def wake(self):
        try:
            self.lock.release()
        except RuntimeError:
            pass  # it is awake

    def sleep(self, timeout):
        self.lock.acquire(True, -1 if timeout is None else max(timeout, 0))


class _Turn:
    """A stream that this host produces."""

    __slots__ = (
        *("chain", "incoming", "is_declared", "is_queued", "is_running", "iterator", "next", "pending", "sent", "used"),
    )

    def __init__(self, incoming, iterator, advance, is_declared):
        self.incoming = incoming
        self.is_declared = is_declared
        self.iterator = iterator
        self.next = advance
        self.chain = incoming.chain
        self.is_queued = False
        self.is_running = False
        self.pending = []
        self.sent = 0.0
        self.used = 0


class Lost(Exception):
    """The owner is gone."""


# ---------------------------------------------------------------- the connection
class Connection:
    """One side of the protocol, over a socket, and the host behind it."""

    def __init__(self, sock, concurrency):
        self.sock = sock
        self.concurrency = concurrency
        self.send_lock = threading.Lock()
        self.read_lock = threading.Lock()
        self.rest = b""
        self.unfinished = {}
        self.inbox = collections.deque()
        self.idle = _Slot(0, None, "")
        self.sleepers = {self.idle}
        self.waiting = {}
        self.slots = {}
        self.next_call = 1
        self.chains = itertools.count(int.from_bytes(os.urandom(8), "little") | 1, 2)
        self.exports = {}
        self.export_ids = {}
        self.reference_streams = set()
        self.uncopyable = set()
        self.loop_calls = collections.deque()
        self.table_lock = threading.RLock()  # a finalizer may come in between, and need it, too
        self.max_message = 1 << 30
        self.next_object = 1
        self.classes_out = {}
        self.kinds = []
        self.classes_in = {}
        self.imports = {}
        self.releases = collections.deque()
        self.undecoded = 0
        self.running = {}
        self.turns = {}
        self.credit = {}
        self.items_lock = threading.Lock()
        self.producing = None
        self.ended_streams = set()
        self.posts_done = 0
        self.posts_len = 0
        self.highest = 0
        self.is_lost = False
        self.is_closing = False
        self.has_ended = False
        self.own_posts = 0
        self.own_posts_len = 0
        self.flushes = False
        self.loop = None
        self.watch = _Watch(self)
        self.runner = None
        self.undescribed = {}
        self.memory = None

    # ------------------------------------------------------------ sending
    def send(self, kind, call=0, chain=0, lane=0, number=0, body=b""):
        """Send one message, and whatever waits to go beside it."""
        with self.send_lock:
            length = len(body)
            if length <= CHUNK_MAX:
                self.write(HEADER.pack(length, kind, 0, 0, call, chain, lane, number) + body)
            else:
                view = memoryview(body)
                for at in range(0, length, CHUNK_MAX):
                    piece = view[at : at + CHUNK_MAX]
                    more = MORE if at + CHUNK_MAX < length else 0
                    self.write(HEADER.pack(len(piece), kind, more, 0, call, chain, lane, number))
                    self.write(piece)
            if self.releases or self.posts_done or (self.memory is not None and self.memory.retired):
                self.send_beside()

    def send_beside(self):
        """Send what nobody waits for; with the lock."""
        entries = []
        while self.releases:
            entries.append(self.releases.popleft())
            if len(entries) == 1000 or not self.releases:
                body = b"".join(struct.pack("<QI", *entry) for entry in entries)
                self.write(HEADER.pack(len(body), RELEASE, 0, 0, 0, 0, 0, len(entries)) + body)
                entries = []
        if self.memory is not None and self.memory.retired:
            retired, self.memory.retired = self.memory.retired, []
            body = b"".join(struct.pack("<IQ", *entry) for entry in retired)
            self.write(HEADER.pack(len(body), FORGET, 0, 0, 0, 0, 0, len(retired)) + body)
        if self.posts_done:
            with self.table_lock:
                done, length = self.posts_done, self.posts_len
                self.posts_done = self.posts_len = 0
            self.write(HEADER.pack(0, CREDIT, 0, 0, 0, length, 0, done))

    def make_room_for_words(self):
        """Have the owner read what it was told of memory: it looks for what it is to forget there, too."""
        self.memory.retired.append((1, 0))
        with self.send_lock:
            self.send_beside()
        room = select.poll()
        room.register(self.memory.words, select.POLLOUT)
        room.poll(ROOM_PATIENCE)

    def try_send_beside(self):
        """The same if nobody sends right now: whoever does looks again."""
        if self.send_lock.acquire(False):
            try:
                if not self.is_lost:
                    self.send_beside()
            except Lost:
                pass
            finally:
                self.send_lock.release()

    def write(self, data):
        if self.is_lost:
            raise Lost
        try:
            self.sock.sendall(data)
        except OSError:
            self.lose()
            raise Lost from None

    # ------------------------------------------------------------ receiving
    def read(self, is_blocking=True):
        """Take in what comes next. Only with the read lock."""
        try:
            data = self.sock.recv(16384) if is_blocking else self.sock.recv(16384, socket.MSG_DONTWAIT)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self.end()
        else:
            self.take(self.rest + data if self.rest else data)

    def take(self, data):
        """Take in what was received."""
        at, end = 0, len(data)
        while end - at >= 32:
            length, kind, flags, weight, call, chain, lane, number = HEADER.unpack_from(data, at)
            at += 32
            if length <= end - at:
                body = data[at : at + length]
                at += length
            else:
                body = self.read_rest(data[at:end], length)
                at = end
            self.rest = data[at:end]
            if flags & MORE or (kind, call) in self.unfinished:
                body = self.assemble(kind, flags, call, body)
                if body is None:
                    continue
            self.frame(kind, weight, call, chain, lane, number, body)
        self.rest = data[at:end]

    def read_rest(self, begin, length):
        if length > CHUNK_MAX:
            self.violate("a frame that is too long")
            return b""
        body = bytearray(length)
        have = len(begin)
        body[:have] = begin
        view = memoryview(body)
        while have < length:
            try:
                count = self.sock.recv_into(view[have:])
            except OSError:
                count = 0
            if not count:
                self.lose()
                raise Lost
            have += count
        return bytes(body)

    def assemble(self, kind, flags, call, body):
        parts = self.unfinished.setdefault((kind, call), [])
        parts.append(body)
        if flags & MORE:
            return None
        del self.unfinished[kind, call]
        return b"".join(parts)

    def frame(self, kind, weight, call, chain, lane, number, body):
        if kind == CALL:
            self.highest = max(self.highest, call)
            incoming = _Incoming(call, chain, lane, weight, body)
            if incoming.want == STREAM:
                self.credit[call] = 0
            with self.table_lock:  # who begins to wait meanwhile finds it in the one place or the other
                waiting = self.waiting.get(chain) if chain else None
                slot = waiting[-1] if waiting else None
                is_for_loop = slot is None and chain != 0 and self.chain_in_loop == chain
                queue = slot.calls if slot is not None else self.loop_calls if is_for_loop else self.inbox
                queue.append(incoming)
            if is_for_loop:
                self.kept_loop.call_soon_threadsafe(self.do_in_loop)
            else:
                (slot or self.idle).wake()
        elif kind == REPLY or kind == ERROR:
            with self.table_lock:
                slot = self.slots.pop(call, None)
                is_wanted = slot is not None and not slot.is_given_up
                if is_wanted:
                    self.undecoded += 1
                    slot.answer = (kind, body)
            if is_wanted:
                if slot.future is not None:
                    slot.future.settle()
                slot.wake()
            elif slot is not None:
                _Reader(self, body).discard()
        elif kind == RELEASE:
            self.enqueue([struct.unpack_from("<QI", body, 12 * index) for index in range(number)])
        elif kind == PING:
            self.send(PONG, call)
        elif kind == CANCEL:
            self.on_cancel(call, number & 1)
        elif kind == CREDIT:
            self.on_credit(call, chain, number)
        elif kind == CLOSE:
            self.is_closing = True
            self.idle.wake()
        elif kind == FORGET:
            if self.memory is not None:
                for index in range(number):
                    self.memory.forget(*struct.unpack_from("<IQ", body, 12 * index))
        elif kind == GOAWAY and chain == 0 and number:
            self.lose()

    def violate(self, text):
        try:
            self.send(GOAWAY, self.highest, number=1, body=text.encode())
        except Lost:
            pass
        self.lose()

    def enqueue(self, work):
        self.inbox.append(work)
        self.idle.wake()

    def end(self):
        """Nothing more comes: the owner is gone, or has closed and waits for what it asked for."""
        if not self.is_closing:
            self.lose()
            return
        self.has_ended = True
        for slot in list(self.sleepers):
            slot.wake()

    def lose(self):
        """The stream has ended."""
        if self.is_lost:
            return
        self.is_lost = True
        for slot in list(self.slots.values()):
            if slot.future is not None:
                slot.future.settle()
        for slot in list(self.sleepers):
            slot.wake()
        self.watch.attend()

    def is_over(self):
        """Whether nothing is left to be done."""
        if self.is_lost:
            return True
        return self.is_closing and not (self.inbox or self.running or self.turns)

    # ------------------------------------------------------------ waiting
    def wait(self, slot, until=None):
        """Wait for an answer; run what comes in of the same chain meanwhile. False when the time is over."""
        entry = _here.entries[-1] if _here.entries else None
        was_in_user = entry is not None and entry.is_in_user
        if entry is not None:
            entry.is_in_user = False
            before, entry.slot = entry.slot, slot
        self.sleepers.add(slot)
        was_in_step, self.is_in_step = self.is_in_step, False
        with self.table_lock:
            waiting = self.waiting.setdefault(slot.chain, [])
            waiting.append(slot)
            self.take_over_chain(slot)
        try:
            is_there = self.wait_in_seat(slot, until, entry)
        finally:
            self.is_in_step = was_in_step
            self.sleepers.discard(slot)
            with self.table_lock:
                waiting.remove(slot)
                if not waiting:
                    self.waiting.pop(slot.chain, None)
            for work in slot.calls:
                self.enqueue(work)
            if entry is not None:
                entry.slot = before
                entry.is_in_user = was_in_user
        if entry is not None:
            entry.raise_if_due()
        return is_there

    def take_over_chain(self, slot):
        """Take what came for this seat before it was taken: the watch may read sooner than the caller waits."""
        if not slot.chain:
            return
        for outer in self.waiting[slot.chain][:-1]:
            while outer.calls:
                slot.calls.append(outer.calls.popleft())
        queues = (self.inbox, self.loop_calls) if self.runner is None else (self.inbox, self.runner.queue)
        for queue in queues:
            for work in list(queue):
                if type(work) in (_Incoming, _Turn) and work.chain == slot.chain:
                    try:
                        queue.remove(work)
                    except ValueError:
                        continue
                    slot.calls.append(work)

    def wait_in_seat(self, slot, until, entry):
        while True:
            if slot.calls:
                self.do(slot.calls.popleft())
                continue
            if slot.answer is not None or self.is_lost or self.has_ended:
                return True
            if entry is not None and entry.is_due:
                entry.raise_if_due()
            left = None if until is None else until - time.monotonic()
            if left is not None and left <= 0:
                return False
            if self.take_role():
                try:
                    # Whoever read before may have brought what is waited for.
                    is_over = slot.calls or slot.answer is not None or self.is_lost or self.has_ended
                    if not is_over and (left is None or self.is_readable(left)):
                        self.read()
                finally:
                    self.pass_role(slot)
            else:
                slot.sleep(left)

    def take_role(self):
        """Become the one who reads. The watch gives way; any other thread wakes whom it has something for."""
        if self.read_lock.acquire(False):
            return True
        if self.loop is not None and threading.get_ident() == MAIN:
            self.watch.give_way()
            return self.read_lock.acquire(True, 1)
        if self.watch.is_reading:
            self.watch.give_way()
            return self.read_lock.acquire(True, 1)
        return False

    def pass_role(self, slot):
        self.read_lock.release()
        for other in list(self.sleepers):
            if other is not slot:
                other.wake()

    def is_readable(self, timeout):
        poll = select.poll()
        poll.register(self.sock, select.POLLIN)
        return bool(poll.poll(max(0, timeout) * 1000 + 1))

    # ------------------------------------------------------------ the main loop of a serial host
    def serve(self):
        """Run calls one at a time until the owner is done."""
        inbox, watch, idle, read_lock = self.inbox, self.watch, self.idle, self.read_lock
        is_fresh = False
        while not self.is_lost:
            if inbox:
                # What came meanwhile may be the cancel of what is next.
                if not is_fresh and read_lock.acquire(False):
                    try:
                        self.read(is_blocking=False)
                    finally:
                        self.pass_role(idle)
                    if not inbox:
                        continue
                is_fresh = False
                watch.is_busy = True
                watch.turn += 1
                if watch.is_asleep:
                    watch.attend()
                self.do(inbox.popleft())
                continue
            if self.is_closing and self.is_over():
                break
            if self.has_ended:
                idle.sleep(0.05)
                continue
            watch.is_busy = False
            if read_lock.acquire(False) or self.take_role():
                try:
                    if not (inbox or self.is_lost or self.has_ended or self.is_closing):
                        self.read()
                        is_fresh = True
                    elif self.is_closing and not inbox and not self.has_ended and self.is_readable(0.05):
                        self.read()
                finally:
                    self.pass_role(idle)
            else:
                idle.sleep(None)

    def do(self, work):
        """Do one piece of work."""
        try:
            if type(work) is _Incoming:
                self.run(work)
            elif type(work) is _Turn:
                self.produce(work)
            else:
                self.release(work)
        except Lost:
            pass

    # ------------------------------------------------------------ calls that come in
    def run(self, incoming, on_begin=None):
        """Run one call and answer it."""
        limit = incoming.limit
        if limit is not None and limit <= time.monotonic() and incoming.want != NOTHING:
            _Reader(self, incoming.body, 16).discard()
            self.fail(incoming, EXPIRED, NOT_STARTED, "its deadline had passed before it could be begun")
            return
        entry = _Entry(incoming.call, incoming.chain)
        here = _here
        before = here.limit
        here.limit = limit
        here.entries.append(entry)
        self.running[incoming.call] = entry
        answer = None
        try:
            answer = self.evaluate(incoming, entry, on_begin)
        except BaseException as error:  # the interrupt came between two of our own steps
            entry.is_in_user = False
            answer = (self.raised, (error, False))
        finally:
            here.entries.pop()
            here.limit = before
            if self.running.get(incoming.call) is entry:  # and not the task that it made
                del self.running[incoming.call]
        self.answer(incoming, *answer)

    def answer(self, incoming, answering, how):
        """Answer a call; what prevents it is the answer then."""
        if answering is None:
            return
        try:
            answering(incoming, *how)
        except Lost:
            raise
        except BaseException as failure:  # code of a class of the result's
            text = "the result cannot be copied: %s: %s" % (type(failure).__name__, _text_of(failure, 8192))
            self.record(incoming, RESULT, FINISHED, text, None)

    def evaluate(self, incoming, entry, on_begin):
        """Take the path. Gives how the call is answered."""
        target = incoming.target
        try:
            start = self.exported(target) if target else BOOTSTRAP
        except _Gone as gone:
            _Reader(self, incoming.body, 16).discard()
            return self.fail, (GONE, NOT_STARTED, str(gone))
        r = _Reader(self, incoming.body, 16)
        walk = _Walk(start, True, entry, on_begin)
        walk.gives_references = target in self.reference_streams
        try:
            for left in range(incoming.steps - 1, -1, -1):
                if r.body[r.position] == ANSWER:
                    raise _Argument(ValueError("an answer that was not promised"))
                walk.step(r, left)
        except _Argument as failure:
            r.discard()
            outcome = UNKNOWN if walk.has_run and incoming.steps > 2 else NOT_STARTED
            return self.argument_failed, (failure.args[0], outcome)
        except _Gone as gone:
            r.discard()
            return self.fail, (GONE, NOT_STARTED, str(gone))
        except _Missing as missing:
            return self.raised, (missing.args[0], False, MISSING)
        except _Evaluated as failure:
            return self.raised, (failure.args[0], False)
        except BaseException as error:
            if entry.is_raised and isinstance(error, CallCancelled):
                return self.fail, (CANCELLED, UNKNOWN, "it was broken off")
            return self.raised, (error, False)
        if type(walk.current) is COROUTINE:
            return self.run_coroutine(incoming, entry, walk, start)
        return self.found, (walk, start, walk.current, False)

    def found(self, incoming, walk, start, value, is_of_coroutine):
        """Answer with a value."""
        want = incoming.want
        if self.flushes:
            _flush()
        if want == NOTHING:
            self.post_done(incoming)
        elif want == STREAM:
            self.begin_stream(incoming, value, walk.is_declared)
        else:
            e = _Encoder(self, False)
            try:
                if want == AUTO:
                    self.write_auto(e, incoming, walk, start, value)
                elif want == REFERENCE:
                    self.write_reference(e, incoming, walk, start, value)
                else:
                    e.whole(value)
                if is_of_coroutine:
                    e.out.append(0xC0)
            except BaseException as error:
                e.abandon()
                self.result_failed(incoming, value, error)
                return
            if len(e.out) > self.max_message:
                length = len(e.out)
                e.abandon()
                text = "the result takes %d bytes, and one message may have %d" % (length, self.max_message)
                self.fail(incoming, RESULT, FINISHED, text)
                return
            self.send(REPLY, incoming.call, 0, incoming.lane, 0, e.out)

    def write_reference(self, e, incoming, walk, start, value):
        if incoming.target and value is start:
            e.receiver()
        elif walk.is_declared:
            self.write_declared(e, value)
        elif type(value) is Ref or type(value) is Proxy or type(value) is Stream:
            e.whole(value)
        else:
            e.offer(value)

    def write_declared(self, e, value):
        """A result that was declared to go by reference: of a stream, its items."""
        kind = type(value)
        if kind is Ref or kind is Proxy or kind is Stream:
            e.whole(value)
            return
        e.offer(value)
        if _is_stream_type(kind) or kind is ASYNC_GENERATOR:
            self.reference_streams.add(self.export_ids[id(value)])

    def write_auto(self, e, incoming, walk, start, value):
        """The rule for results: the receiver or what the owner holds, then a copy, then a proxy."""
        kind = type(value)
        if walk.is_declared and (id(kind) not in IMMUTABLE or kind is tuple or kind is frozenset):
            if incoming.target and value is start:
                e.receiver()
            else:
                self.write_declared(e, value)
            return
        if id(kind) not in IMMUTABLE:
            is_rooted = incoming.target != 0
            receiver = walk.receiver
            if is_rooted and (value is start or (walk.is_in_place and value is receiver)):
                e.receiver()
                return
            if (walk.name is not None or walk.is_in_place) and value is receiver:
                e.offer(value)
                return
            if self.is_method_of(value, kind, receiver, start if is_rooted else None) or id(value) in self.export_ids:
                e.offer(value)
                return
        verdict = (id(kind), walk.name if incoming.target else None)
        if verdict in _verdicts:
            self.offer_uncopyable(e, value)
            return
        mark = e.mark()
        try:
            e.whole(value)
        except Exception as error:
            e.roll_back(mark)
            _log_uncopyable(value, error)
            is_container = hasattr(kind, "__len__")  # what one holds says nothing of the next
            if not is_container and kind.__module__ not in ("builtins", "collections") and verdict[1] is not None:
                if len(_judged) < VERDICTS_MAX:
                    _verdicts.add(verdict)
                    _judged.append(kind)
            if kind is list or kind is tuple or kind is dict:
                self.write_elements(e, value, kind, mark)
            else:
                self.offer_uncopyable(e, value)

    def is_method_of(self, value, kind, receiver, start):
        if kind is not types.MethodType and kind is not types.BuiltinMethodType:
            return False
        owner = value.__self__
        if owner is None or isinstance(owner, (type, types.ModuleType)):
            return False
        return owner is receiver or (start is not None and owner is start)

    def write_elements(self, e, value, kind, mark):
        """An exact list, tuple or dict gets proxies for those of its elements that cannot be copied."""
        try:
            elements = value if kind is tuple else value.copy()  # what pickling an element runs may change it
            if kind is dict:
                _map_head(e.out, len(elements))
                for key, element in elements.items():
                    e.whole(key)
                    self.write_element(e, element)
            else:
                if kind is list:
                    _list_head(e.out, len(elements))
                else:
                    e.out += bytes((0xD6, 1)) + struct.pack("<I", len(elements))
                for element in elements:
                    self.write_element(e, element)
        except ElsewhereError:
            raise
        except Exception:
            e.roll_back(mark)
            self.offer_uncopyable(e, value)

    def write_element(self, e, element):
        mark = e.mark()
        try:
            e.whole(element)
        except Exception:
            e.roll_back(mark)
            self.offer_uncopyable(e, element)

    def offer_uncopyable(self, e, value):
        """Offer what could not be copied: nobody asked for these, so there is a limit to them."""
        is_new = id(value) not in self.export_ids
        if is_new and len(self.uncopyable) >= UNCOPYABLE_MAX:
            text = "the owner holds %d objects whose copies it was to get, and more of them are refused; let some go"
            raise ERRORS["Overloaded"](text % UNCOPYABLE_MAX, "finished")
        e.offer(value)
        if is_new:
            self.uncopyable.add(e.granted[-1])

    def record(self, incoming, kind, outcome, text, error, is_of_coroutine=False):
        if incoming.want == STREAM:
            self.credit.pop(incoming.call, None)
            self.ended_streams.discard(incoming.call)
        if incoming.want == NOTHING:
            if error is not None:
                _report(error)
            self.post_done(incoming)
            return
        if self.flushes:
            _flush()
        e = _Encoder(self, False)
        try:
            _write_record(e, kind, outcome, text, error, is_of_coroutine)
        except BaseException as failure:
            e.abandon()
            text = "%s (and it could not be described: %s)" % (text or "the call failed", type(failure).__name__)
            _write_record(e, kind, outcome, text, None, is_of_coroutine)
        self.send(ERROR, incoming.call, 0, incoming.lane, 0, e.out)

    def raised(self, incoming, error, is_of_coroutine, kind=RAISED):
        self.record(incoming, kind, FINISHED, None, error, is_of_coroutine)

    def fail(self, incoming, kind, outcome, text):
        self.record(incoming, kind, outcome, text, None)

    def argument_failed(self, incoming, error, outcome):
        hint = ""
        if isinstance(error, ImportError):
            hint = (
                ". The module must be importable in the host too: Host(path=[...]) adds directories, Host.module and "
                "Host.script load code there; or pass ref(x) to keep the object at home"
            )
        what = "the call" if outcome == NOT_STARTED else "the rest of the call"
        text = "an argument could not be rebuilt there, so %s did not start: %s: %s%s" % (
            what,
            type(error).__name__,
            _text_of(error, 8192),
            hint,
        )
        if isinstance(error, ArgumentError):
            text = _text_of(error, 8192)
        self.record(incoming, ARGUMENT, outcome, text, error)

    def result_failed(self, incoming, value, error):
        if isinstance(error, ElsewhereError) or not isinstance(error, Exception):
            self.raised(incoming, error, False)
            return
        text = "the result cannot be copied: %s, cannot be pickled (%s: %s)" % (
            _culprit(value, "result"),
            type(error).__name__,
            _text_of(error, 8192),
        )
        self.record(incoming, RESULT, FINISHED, text, error)

    def post_done(self, incoming):
        with self.table_lock:
            self.posts_done += 1
            self.posts_len += len(incoming.body) - 16 + incoming.weight * 65536
        if self.posts_done >= WINDOW_CALLS // 4 or self.posts_len >= WINDOW_BYTES // 4:
            self.try_send_beside()

    # ------------------------------------------------------------ coroutines
    is_in_loop = False
    is_in_step = False
    chain_in_loop = 0
    kept_loop = None

    def run_coroutine(self, incoming, entry, walk, start):
        """Run a coroutine to its end, with the loop running beside it; in a host with a loop, have it begin there."""
        if self.runner is not None:
            self.runner.start(incoming, walk, start)
            return None, ()
        if self.is_in_step:
            _Tasks(self, self.kept_loop).start(incoming, walk, start)
            return None, ()
        if self.is_in_loop:
            walk.current.close()
            text = "its thread waits inside of a coroutine of the same loop: the call would wait for itself"
            return self.fail, (DEADLOCK, NOT_STARTED, text)
        import asyncio

        loop = self.own_loop()
        task = loop.create_task(walk.current)
        entry.loop, entry.task = loop, task
        try:
            return self.found, (walk, start, self.run_in_loop(task, entry.chain), True)
        except asyncio.CancelledError as error:
            if entry.is_due:
                return self.fail, (CANCELLED, UNKNOWN, "it was broken off")
            return self.raised, (error, True)
        except BaseException as error:
            return self.raised, (error, True)
        finally:
            entry.task = None

    def run_in_loop(self, task, chain):
        """Run the loop until a task has ended; what comes in is read meanwhile."""
        loop = self.kept_loop
        self.is_in_loop, self.chain_in_loop = True, chain
        loop.add_reader(self.sock.fileno(), self.read_in_loop)
        try:
            return loop.run_until_complete(task)
        finally:
            loop.remove_reader(self.sock.fileno())
            self.is_in_loop, self.chain_in_loop = False, 0

    def read_in_loop(self):
        if self.has_ended or self.is_lost:
            self.kept_loop.remove_reader(self.sock.fileno())
        elif self.take_role():
            try:
                self.read(is_blocking=False)
            finally:
                self.pass_role(None)

    def do_in_loop(self):
        """Run a call of the chain that a coroutine awaits in."""
        before, self.is_in_step = self.is_in_step, True
        try:
            self.do(self.loop_calls.popleft())
        except IndexError:
            pass  # the coroutine waited itself, and has taken it
        finally:
            self.is_in_step = before

    def own_loop(self):
        if self.kept_loop is None:
            import asyncio

            self.kept_loop = asyncio.new_event_loop()
        return self.kept_loop

    # ------------------------------------------------------------ giving up
    def on_cancel(self, call, interrupts):
        for queue in (self.inbox,) if self.runner is None else (self.inbox, self.runner.queue):
            for work in list(queue):
                if type(work) is _Incoming and work.call == call:
                    try:
                        queue.remove(work)
                    except ValueError:
                        break
                    _Reader(self, work.body, 16).discard()
                    self.fail(work, CANCELLED, NOT_STARTED, "the call was cancelled")
                    return
        if call in self.credit:
            self.ended_streams.add(call)  # perhaps before there is a turn, which looks whether it is wanted
            turn = self.turns.get(call)
            if turn is not None:
                self.queue_turn(turn)
        entry = self.running.get(call)
        if entry is not None and (interrupts or (self.runner is not None and entry.loop is not None)):
            self.break_off(entry)

    def break_off(self, entry):
        if entry.is_due:
            return
        entry.is_due = True
        slot = entry.slot
        if slot is not None:
            slot.wake()
        elif entry.loop is not None:
            if entry.task is not None:
                entry.loop.call_soon_threadsafe(entry.task.cancel)
        elif entry.thread == MAIN:
            self.watch.due = entry
            self.watch.ask_again()
        elif entry.is_in_user:
            self.raise_in(entry)

    def raise_in(self, entry):
        try:
            import ctypes

            entry.is_raised = True
            ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(entry.thread), ctypes.py_object(CallCancelled))
        except Exception:
            entry.is_raised = False  # an interpreter without ctypes or without that function

    def attend(self, _signal, frame):
        """The handler of the signal that breaks a call off, on the main thread.

        A step of ours that has to be whole is let finish: the watch asks again.
        """
        entries = _here.entries
        if entries and entries[-1].is_in_user:
            code = frame.f_code
            if code.co_name not in WHOLE_STEPS or code.co_filename != OWN_FILE:
                entries[-1].raise_if_due()

    # ------------------------------------------------------------ streams
    def begin_stream(self, incoming, value, is_declared):
        try:
            if hasattr(type(value), "__aiter__") and not hasattr(type(value), "__iter__"):
                iterator = type(value).__aiter__(value)
                advance = self.next_of_async
            else:
                iterator = iter(value)
                advance = next
        except BaseException as error:
            self.raised(incoming, error, False)
            return
        turn = self.turns[incoming.call] = _Turn(incoming, iterator, advance, is_declared)
        if self.credit.get(incoming.call) or incoming.call in self.ended_streams:
            self.queue_turn(turn)

    def next_of_async(self, iterator):
        try:
            loop = self.own_loop()
            return self.run_in_loop(loop.create_task(_anext(iterator)), _here.entries[-1].chain)
        except StopAsyncIteration:
            raise StopIteration from None

    def close_async(self, iterator):
        if hasattr(iterator, "aclose"):
            if self.runner is not None or self.is_in_loop:
                tasks = self.runner or _Tasks(self, self.kept_loop)
                tasks.start_task(_Entry(0, 0), lambda: tasks.close(iterator))
            else:
                loop = self.own_loop()
                self.run_in_loop(loop.create_task(_as_coroutine(iterator.aclose())), 0)

    def on_credit(self, call, chain, number):
        if call == 0:
            with self.table_lock:
                self.own_posts -= number
                self.own_posts_len -= chain
            return
        turn = self.turns.get(call)
        if turn is not None and chain:
            turn.chain = chain
        if number and call in self.credit:
            self.credit[call] += number
        if turn is not None and (self.credit.get(call, 0) > turn.used or turn.is_queued):
            self.queue_turn(turn)

    def queue_turn(self, turn):
        with self.table_lock:
            waiting = self.waiting.get(turn.chain) if turn.chain else None
            slot = waiting[-1] if waiting else None
            if slot is not None:
                slot.calls.append(turn)
            elif turn.is_queued:
                return
            else:
                turn.is_queued = True
                self.inbox.append(turn)
        (slot or self.idle).wake()

    def produce(self, turn):
        """Let a stream produce up to its credit, or a millisecond."""
        turn.is_queued = False
        incoming = turn.incoming
        call = incoming.call
        if self.turns.get(call) is not turn or turn.is_running:
            return  # it has ended, or looks itself what is wanted when it is done
        if call in self.ended_streams:
            self.end_stream(turn)
            iterator, turn.iterator = turn.iterator, None
            try:
                if turn.next is not next:
                    self.close_async(iterator)
                elif type(iterator) is GENERATOR and sys.implementation.name == "pypy":
                    iterator.close()  # which counts no references
            except BaseException as error:
                _report(error)
            del iterator
            self.fail(incoming, CANCELLED, UNKNOWN, "the stream was cancelled")
            return
        if turn.next is not next and self.runner is not None:
            turn.is_running = True
            self.runner.start_turn(turn)
            return
        error, is_over = None, False
        end = time.monotonic() + 0.001
        entry = _Entry(call, turn.chain)
        _here.entries.append(entry)
        self.running[call] = entry
        turn.is_running = True
        before, _here.limit = _here.limit, incoming.limit
        try:
            while self.wants(turn):
                entry.is_in_user = True
                entry.raise_if_due()
                item = turn.next(turn.iterator)
                entry.is_in_user = False
                if self.send_item(turn, item) > end:
                    break
        except StopIteration:
            is_over = True
        except BaseException as raised:
            is_over, error = True, raised
        finally:
            _here.entries.pop()
            self.running.pop(call, None)
            turn.is_running = entry.is_in_user = False
            _here.limit = before
        self.end_turn(turn, is_over, error, entry.is_raised)

    def wants(self, turn):
        """Whether the owner wants another item of a stream now."""
        call = turn.incoming.call
        return self.credit.get(call, 0) > turn.used and call not in self.ended_streams

    def send_item(self, turn, item):
        """Send an item, with others perhaps; gives the time."""
        e = _Encoder(self, False)
        try:
            if turn.is_declared and (id(type(item)) not in IMMUTABLE or type(item) in (tuple, frozenset)):
                self.write_declared(e, item)
            else:
                self.write_element(e, item)
            if len(e.out) > self.max_message:
                text = "an item of a stream takes %d bytes, and one message may have %d"
                raise ERRORS["ResultError"](text % (len(e.out), self.max_message), "finished")
        except BaseException:
            e.abandon()
            raise
        turn.used += 1
        now = time.monotonic()
        self.emit(turn, e.out, now)
        return now

    def end_turn(self, turn, is_over, error, is_broken_off):
        incoming = turn.incoming
        call = incoming.call
        self.flush_items(turn)
        if is_over:
            self.end_stream(turn)
            if is_broken_off and isinstance(error, CallCancelled):
                self.fail(incoming, CANCELLED, UNKNOWN, "the stream was broken off")
            elif error is not None:
                self.raised(incoming, error, False)
            else:
                self.send(REPLY, call, 0, incoming.lane, 0, b"\xc0")
        elif self.credit.get(call, 0) > turn.used or call in self.ended_streams:
            self.queue_turn(turn)

    def emit(self, turn, item, now):
        """Send an item that comes alone at once, and what comes right behind it together.

        Nothing is held back for long while the next item is made: the watch sends it at its next tick.
        """
        with self.items_lock:
            turn.pending.append(item)
            self.producing = turn
        if now - turn.sent >= 0.0002 or self.watch.is_reading or len(item) > 1 << 16:
            turn.sent = now
            self.flush_items(turn)

    def flush_items(self, turn):
        with self.items_lock:
            if turn.pending:
                pending, turn.pending = turn.pending, []
                self.send(ITEMS, turn.incoming.call, 0, turn.incoming.lane, len(pending), b"".join(pending))

    def end_stream(self, turn):
        call = turn.incoming.call
        self.turns.pop(call, None)
        self.credit.pop(call, None)
        self.ended_streams.discard(call)

    # ------------------------------------------------------------ objects
    def export(self, value):
        with self.table_lock:
            known = self.export_ids.get(id(value))
            if known is not None:
                self.exports[known][1] += 1
                return known
            object_id = self.next_object
            self.next_object += 1
            self.exports[object_id] = [value, 1]
            self.export_ids[id(value)] = object_id
            return object_id

    def exported(self, object_id):
        held = self.exports.get(object_id)
        if held is None:
            raise _Gone("object %d is no longer held; it was released" % object_id)
        if self.undescribed:
            self.undescribed.pop(self.classes_out.get(id(type(held[0]))), None)
        return held[0]

    def ungrant(self, granted):
        for object_id in granted:
            self.give_back(object_id, 1)

    def give_back(self, object_id, count):
        with self.table_lock:
            held = self.exports.get(object_id)
            if held is not None:
                held[1] -= count
                if held[1] <= 0:
                    del self.exports[object_id]
                    self.export_ids.pop(id(held[0]), None)
                    self.reference_streams.discard(object_id)
                    self.uncopyable.discard(object_id)

    def release(self, entries):
        if self.undecoded > 0 and self.slots:
            self.inbox.append(entries)  # answers that are not read yet may name them
            return
        for object_id, count in entries:
            self.give_back(object_id, count)

    def class_out(self, kind):
        """The number of a class, and its description while the owner may not know it."""
        with self.table_lock:
            known = self.classes_out.get(id(kind))
            if known is None:
                known = len(self.kinds)
                self.kinds.append(kind)  # so that its address stays its own
                self.undescribed[known] = (
                    str(kind.__module__),
                    str(kind.__qualname__),
                    IS_STREAM if _is_stream_type(kind) else IS_ASYNC_STREAM if kind is ASYNC_GENERATOR else 0,
                    _coroutine_names(kind),
                )
                self.classes_out[id(kind)] = known
            return known, self.undescribed.get(known)

    def imported(self, object_id, class_id, described):
        """The proxy of an object of the owner's, which gave one more reference to it."""
        if described is not None:
            self.classes_in[class_id] = described
        description = self.classes_in[class_id]
        with self.table_lock:
            held = self.imports.get(object_id)
            imported = held() if held is not None else None
            if imported is None:
                import weakref

                imported = _Import(self, object_id, description)
                self.imports[object_id] = weakref.ref(imported)
            imported.count += 1
        proxy = Proxy(imported, ())
        if description[2] & IS_STREAM:
            return Stream(proxy)
        return AsyncStream(proxy) if description[2] & IS_ASYNC_STREAM else proxy

    # ------------------------------------------------------------ calls of ours
    def begin(self, target, write_steps, count, want, receiver=None, method="a call", future=None):
        """Make a call to the owner. Gives the slot of its answer."""
        here = _here
        entry = here.entries[-1] if here.entries else _task_entry()
        chain = entry.chain if entry is not None else self.new_chain()
        limit = entry.limit if entry is not None and here.limit is None else here.limit
        left = 0
        if limit is not None:
            left = max(1, int((limit - time.monotonic()) * 1000) + 1)
            if limit <= time.monotonic():
                raise CallTimeout(
                    "the time for %s was over before it was made; it was not sent" % method, "not_started"
                )
        e = _Encoder(self, True, bytearray(HEAD.pack(target, left, want, 0, count)))
        try:
            write_steps(e)
        except BaseException as error:
            e.abandon()
            if isinstance(error, (ElsewhereError, KeyboardInterrupt)) or not isinstance(error, Exception):
                raise
            text = "%s: an argument cannot be copied to the owner (%s: %s); pass ref(x) to keep it here" % (
                method,
                type(error).__name__,
                error,
            )
            raise ArgumentError(text, "not_started", "the owner", method) from error
        length = len(e.out) - 16
        if len(e.out) > self.max_message:
            text = "the arguments of %s take %d bytes, and one message to the owner may have %d; nothing was sent"
            e.abandon()
            raise ERRORS["MessageTooLarge"](
                text % (method, length + 16, self.max_message), "not_started", "the owner", method
            )
        while want == NOTHING and (self.own_posts >= WINDOW_CALLS or self.own_posts_len >= WINDOW_BYTES):
            self.wait(_Slot(0, None, method), time.monotonic() + 0.05)
            if self.is_lost or self.has_ended:
                raise ConnectionLost("the owner is gone", "not_started", "the owner", method)
        slot = _Slot(chain, receiver, method)
        slot.limit = limit
        slot.future = future
        if future is not None:
            future.slot = slot
        try:
            call = self.take_id(slot, want)
            if want == NOTHING:
                with self.table_lock:
                    self.own_posts += 1
                    self.own_posts_len += length
            self.send(CALL, call, chain, here.lane, next(here.numbers) & 0xFFFFFFFF, e.out)
        except Lost:
            raise ConnectionLost("the owner is gone", "not_started", "the owner", method) from None
        return call, slot

    def take_id(self, slot, want):
        with self.send_lock:
            call = self.next_call
            for _ in range(WINDOW_CALLS):
                if all(call % WINDOW_CALLS != other % WINDOW_CALLS for other in self.slots):
                    break
                call += 1
            else:
                raise ERRORS["Overloaded"]("too many calls are in flight to the owner", "not_started")
            self.next_call = call + 1
            if want != NOTHING:
                self.slots[call] = slot
        return call

    def tell(self, *args):
        """Tell the owner something that nobody waits for; False where there is no room for it."""
        if self.own_posts >= WINDOW_CALLS // 2 or self.is_lost:
            return False

        def write(e):
            e.value(ATTR)
            e.value("tell")
            e.value(DO)
            e.arguments(args, {})

        self.begin(0, write, 2, NOTHING, None, "a message")
        return True

    def new_chain(self):
        return next(self.chains) & 0xFFFFFFFFFFFFFFFF

    def call(self, target, write_steps, count, want=AUTO, receiver=None, method="a call"):
        """Make a call to the owner and wait for its result."""
        slot = self.asked(target, write_steps, count, want, receiver, method)
        return None if want == NOTHING else self.result_of(slot)[0]

    def call_method(self, *how):
        """The same; what a coroutine gave, or raised, is in a future."""
        slot = self.asked(*how)
        try:
            value, is_of_coroutine = self.result_of(slot)
        except Exception as error:
            if not slot.is_of_coroutine:
                raise
            future = _future_class()(self)
            future.set_exception(error)
            return future
        if not is_of_coroutine:
            return value
        future = _future_class()(self)
        future.set_result(value)
        return future

    def asked(self, target, write_steps, count, want=AUTO, receiver=None, method="a call"):
        """Make a call to the owner, and wait until its answer is there."""
        call, slot = self.begin(target, write_steps, count, want, receiver, method)
        if want == NOTHING:
            return slot
        try:
            is_there = self.wait(slot, slot.limit)
        except BaseException:
            if not self.give_up(call, slot):
                self.forgotten(slot)
            raise
        if not is_there and self.give_up(call, slot):
            raise CallTimeout("%s did not answer in time" % method, "unknown", "the owner", method)
        return slot

    def give_up(self, call, slot):
        """Nobody waits for the answer any more: what it gives goes back when it comes. False if it is there."""
        with self.table_lock:
            slot.is_given_up = is_open = slot.answer is None
        try:
            if is_open and call in self.slots:
                self.send(CANCEL, call)
        except Lost:
            pass
        return is_open

    def forgotten(self, slot):
        """An answer that came is not wanted any more."""
        with self.table_lock:
            self.undecoded -= 1
        _Reader(self, slot.answer[1]).discard()

    def result_of(self, slot):
        """What the answer says: the value, and whether a coroutine gave it. Raises what was raised."""
        if slot.answer is None:
            raise ConnectionLost("the owner is gone", "unknown", "the owner", slot.method)
        kind, body = slot.answer
        r = _Reader(self, body, 0, slot.receiver)
        r.is_lenient = kind == ERROR
        try:
            value = r.value()
        except Exception as error:
            r.discard()
            text = "%s in the owner finished, but its result could not be rebuilt here: %s: %s"
            text %= slot.method, type(error).__name__, _text_of(error, 8192)
            raise ERRORS["ResultError"](text, "finished", "the owner", slot.method) from error
        finally:
            with self.table_lock:
                self.undecoded -= 1
        if kind == ERROR:
            slot.is_of_coroutine = len(value) > 10 and bool(value[10])
            error = _rebuilt(value, slot.method)
            if value[0] == MISSING:
                raise _Missing(error)
            try:
                raise error
            finally:
                del error
        return value, not r.is_at_end()

    def ask_answer(self, promised):
        """The answer to an earlier call of the owner's, which keeps it."""

        def steps(e):
            e.value(ANSWER)
            e.value(promised)

        return self.call(0, steps, 1, AUTO, None, "a promised answer")


def _coroutine_names(kind):
    names, seen = [], set()
    for cls in kind.__mro__:
        if cls.__module__ == "builtins":
            continue
        for name, value in list(vars(cls).items()):
            if name in seen:
                continue
            seen.add(name)
            code = getattr(getattr(value, "__func__", value), "__code__", None)
            if getattr(code, "co_flags", 0) & 0x80:
                names.append(name)
    return names


def _flush():
    try:
        sys.stdout.flush()
    except Exception:
        pass  # a stream of the user's own that fails is the user's business


def _report(error):
    """Report an error that nobody waits for."""
    import traceback

    sys.stderr.write("Exception ignored in: 'a call that was posted failed'\n")
    traceback.print_exception(type(error), error, error.__traceback__)


_told_uncopyable = set()
_verdicts = set()
_judged = []
"""Results that turned out not to be copyable, by their class and the name of the method that gave them."""


def _log_uncopyable(value, error):
    kind = type(value)
    if id(kind) in _told_uncopyable or "logging" not in sys.modules:
        return
    _told_uncopyable.add(id(kind))
    text = "a result of %s cannot be copied and travels as a proxy: %s (%s)"
    logger = sys.modules["logging"].getLogger("elsewhere")
    logger.info(text, "%s.%s" % (kind.__module__, kind.__qualname__), _culprit(value, "result"), error)


class _Watch:
    """The thread that reads while a call runs for long: cancels, pings, the owner's end.

    It sleeps until something runs, then looks at every tick whether it is still the same.
    """

    TICK = 0.02

    def __init__(self, conn):
        self.conn = conn
        self.turn = 0
        self.is_busy = False
        self.is_asleep = False
        self.is_reading = False
        self.due = None
        self.lock = threading.Lock()
        self.lock.acquire()
        self.near, self.far = os.pipe()

    def start(self):
        thread = threading.Thread(target=self.work, name="elsewhere-watch")
        thread.daemon = True
        thread.start()

    def attend(self):
        """Wake it."""
        self.is_asleep = False
        try:
            self.lock.release()
        except RuntimeError:
            pass  # it is awake

    def give_way(self):
        """Have it stop reading."""
        os.write(self.far, b"x")

    def work(self):
        conn = self.conn
        while True:
            if conn.is_lost:
                time.sleep(1.0)  # the main thread had its time to end
                os.kill(os.getpid(), signal.SIGKILL)
            if not self.is_busy:
                self.is_asleep = True
                if not self.is_busy and not conn.is_lost:
                    self.lock.acquire()
                self.is_asleep = False
            seen = self.turn
            time.sleep(self.TICK)
            self.ask_again()
            if self.is_busy and self.turn == seen and not conn.is_lost:
                self.flush_items()
                self.read_for(seen)

    def ask_again(self):
        """Have the main thread break its call off, which it does unless it is in a step of ours."""
        entry = self.due
        if entry is not None:
            if entry.is_raised or self.conn.running.get(entry.call) is not entry:
                self.due = None
            else:
                signal.pthread_kill(MAIN, signal.SIGURG)

    def look_for_owner(self, ready):
        """The owner has closed, and its half of the stream has ended; whether it lives is to be seen all the same."""
        if any(events & (select.POLLHUP | select.POLLERR) for _, events in ready):
            self.conn.lose()
        time.sleep(self.TICK)

    def flush_items(self):
        """Send what a stream has made while it makes more."""
        if self.conn.producing is not None:
            try:
                self.conn.flush_items(self.conn.producing)
            except Lost:
                pass

    def read_for(self, seen):
        conn = self.conn
        if not conn.read_lock.acquire(False):
            return
        self.is_reading = True
        self.flush_items()
        try:
            poll = select.poll()
            poll.register(conn.sock, select.POLLIN)
            poll.register(self.near, select.POLLIN)
            while not conn.is_lost:
                ready = poll.poll(None if self.due is None else 1000 * self.TICK)
                self.ask_again()
                if any(fd == self.near for fd, _ in ready):
                    os.read(self.near, 4096)
                    break
                if conn.has_ended:
                    self.look_for_owner(ready)
                    continue
                conn.read(is_blocking=False)
        except Lost:
            pass
        finally:
            self.is_reading = False
            conn.pass_role(None)


# ---------------------------------------------------------------- hosts with an event loop
try:
    import _contextvars

    _task_here = _contextvars.ContextVar("elsewhere", default=None)
except ImportError:  # CPython 3.6: calls of tasks begin new chains
    _task_here = None


def _task_entry():
    """The call that the running task belongs to."""
    return _task_here.get() if _task_here is not None else None


class _LoopSeat:
    """Stands for the main thread where that waits in an event loop."""

    def __init__(self, runner):
        self.runner = runner

    def wake(self):
        try:
            self.runner.loop.call_soon_threadsafe(self.runner.drain)
        except RuntimeError:
            pass  # the loop is closed: this process ends


class _Tasks:
    """Coroutines of calls as tasks of a loop."""

    def __init__(self, conn, loop):
        self.conn = conn
        self.loop = loop
        self.count = 0

    def start(self, incoming, walk, start):
        """Have the coroutine that a path led to begin on the loop, in its turn; from any thread."""
        entry = _Entry(incoming.call, incoming.chain, self.loop, incoming.limit)
        self.start_task(entry, lambda: self.run(incoming, entry, walk, start))

    def start_task(self, entry, make):
        self.conn.running[entry.call] = entry
        with self.conn.table_lock:
            self.count += 1
        if threading.get_ident() == MAIN:
            self.begin(entry, make)
        else:
            self.loop.call_soon_threadsafe(self.begin, entry, make)

    def begin(self, entry, make):
        token = _task_here.set(entry) if _task_here is not None else None
        try:
            entry.task = self.loop.create_task(make())
        finally:
            if token is not None:
                _task_here.reset(token)
        if entry.is_due:  # since before there was a task: it takes its first step all the same
            self.loop.call_soon(entry.task.cancel)

    async def run(self, incoming, entry, walk, start):
        conn = self.conn
        try:
            try:
                value = await walk.current
            finally:
                conn.running.pop(incoming.call, None)
        except BaseException as error:
            is_cancelled = entry.is_due and type(error).__name__ == "CancelledError"
            if is_cancelled:
                how = conn.fail, (CANCELLED, UNKNOWN, "the call was cancelled")
            else:
                how = conn.raised, (error, True)
        else:
            how = conn.found, (walk, start, value, True)
        try:
            conn.answer(incoming, *how)
        except Lost:
            pass
        self.task_ended()

    def start_turn(self, turn):
        """Let a stream that is asynchronous produce, as a task."""
        entry = _Entry(turn.incoming.call, turn.chain, self.loop, turn.incoming.limit)
        self.start_task(entry, lambda: self.take_turn(turn, entry))

    async def take_turn(self, turn, entry):
        conn, end, error = self.conn, None, None
        try:
            limit = time.monotonic() + 0.001
            while conn.wants(turn):
                now = conn.send_item(turn, await _anext(turn.iterator))
                conn.flush_items(turn)
                if now > limit:
                    break
        except StopAsyncIteration as over:
            end = over
        except BaseException as raised:
            end = error = raised
        conn.running.pop(entry.call, None)
        turn.is_running = False
        try:
            conn.end_turn(turn, end is not None and not entry.is_due, error, False)
        except Lost:
            pass
        self.task_ended()

    async def close(self, iterator):
        """End an iterator that is asynchronous: its `finally` blocks run."""
        try:
            await iterator.aclose()
        except BaseException as error:
            _report(error)
        self.task_ended()

    def task_ended(self):
        with self.conn.table_lock:
            self.count -= 1
        self.ended()

    def ended(self):
        """A task has ended."""


class _Runner(_Tasks):
    """The main loop of a host whose main thread runs an event loop, with threads for methods or without."""

    def __init__(self, conn, threads):
        import asyncio

        super().__init__(conn, asyncio.new_event_loop())
        asyncio.set_event_loop(self.loop)
        conn.loop = self.loop
        self.most = threads
        self.queue = collections.deque()
        self.items = threading.Semaphore(0)
        self.start_lock = threading.Lock()
        self.workers = 0
        self.pending = 0
        self.over = self.loop.create_future()
        conn.sleepers.discard(conn.idle)
        conn.idle = _LoopSeat(self)
        conn.sleepers.add(conn.idle)

    def serve(self):
        """Run the loop until the owner is done."""
        self.loop.add_reader(self.conn.sock.fileno(), self.on_readable)
        if self.most:
            self.add_worker()
        self.loop.run_until_complete(self.over)

    def on_readable(self):
        conn = self.conn
        if conn.has_ended:
            self.loop.remove_reader(conn.sock.fileno())
        elif conn.read_lock.acquire(False):
            try:
                conn.read(is_blocking=False)
            finally:
                conn.read_lock.release()
        else:
            conn.watch.give_way()
            time.sleep(0.0001)
        self.drain()

    def drain(self):
        """Do what has come in."""
        conn, watch = self.conn, self.conn.watch
        while conn.inbox:
            work = conn.inbox.popleft()
            if self.most:
                with conn.table_lock:
                    self.pending += 1
                self.queue.append(work)
                self.items.release()
                continue
            watch.is_busy = True
            watch.turn += 1
            if watch.is_asleep:
                watch.attend()
            conn.do(work)
            watch.is_busy = False
        self.ended()

    def ended(self):
        conn = self.conn
        if (conn.is_over() and not self.pending and not self.count) or conn.is_lost:
            if threading.get_ident() != MAIN:
                self.loop.call_soon_threadsafe(self.ended)
            elif not self.over.done():
                self.over.set_result(None)

    def add_worker(self):
        self.workers += 1
        thread = threading.Thread(target=self.work, name="elsewhere-%d" % self.workers)
        thread.daemon = True
        thread.start()

    def work(self):
        """The body of a thread for methods. Calls begin in the order in which they came."""
        while True:
            self.start_lock.acquire()
            self.items.acquire()
            try:
                work = self.queue.popleft()
            except IndexError:  # it was cancelled
                self.start_lock.release()
                self.work_ended()
                continue
            has_begun = []

            def begun(has_begun=has_begun):
                if not has_begun:
                    has_begun.append(True)
                    self.start_lock.release()

            if self.workers < self.most:
                self.add_worker()
            try:
                if type(work) is _Incoming:
                    try:
                        self.conn.run(work, begun)
                    except Lost:
                        pass
                else:
                    self.conn.do(work)
            finally:
                begun()
                self.work_ended()

    def work_ended(self):
        with self.conn.table_lock:
            self.pending -= 1
        self.ended()


# ---------------------------------------------------------------- objects of the owner's
class _Import:
    """An object of the owner's; all proxies of it share one."""

    __slots__ = ("__weakref__", "conn", "count", "description", "id")

    def __init__(self, conn, object_id, description):
        self.conn = conn
        self.id = object_id
        self.description = description
        self.count = 0

    def __del__(self):
        self.give_back()

    def give_back(self):
        conn = self.conn
        with conn.table_lock:
            count, self.count = self.count, 0
            held = conn.imports.get(self.id)
            if held is not None and held() in (None, self):
                conn.imports.pop(self.id, None)
        if count and not conn.is_lost:
            conn.releases.append((self.id, count))
            conn.try_send_beside()


def _part(proxy, name):
    return object.__getattribute__(proxy, name)


def _write_path(e, steps):
    for op, operand in steps:
        e.value(op)
        e.whole(operand)


def _path_name(imported, steps):
    text = imported.description[1]
    for op, operand in steps:
        text += ".%s" % operand if op == ATTR else "[%r]" % (operand,)
    return text


def _call_path(proxy, last, want=AUTO, is_default=False):
    """Evaluate a path and one step more, `last`: (op, how to write its operands) or None."""
    imported, steps = _part(proxy, "_import"), _part(proxy, "_steps")
    if not imported.count:
        raise ObjectGone("the proxy was closed here", "not_started")

    def write(e):
        _write_path(e, steps)
        if last is not None:
            e.value(last[0])
            last[1](e)
        if is_default:
            e.value(GET_DEFAULT)

    count = len(steps) + (last is not None) + is_default
    receiver = Proxy(imported, ())
    return imported.conn, imported.id, write, count, want, receiver, _path_name(imported, steps)


def _evaluate(proxy, last, want=AUTO, is_default=False):
    conn, *how = _call_path(proxy, last, want, is_default)
    return conn.call(*how)


def _submit(proxy, last, want=AUTO):
    conn, *how = _call_path(proxy, last, want)
    return _future(conn, how)


def _future(conn, how):
    future = _future_class()(conn)
    future.call, _ = conn.begin(*how, future=future)
    return future


_made_future = []


def _future_class():
    """The class of futures, made when the first is needed: concurrent.futures takes long to import."""
    if _made_future:
        return _made_future[0]
    import concurrent.futures

    class Future(concurrent.futures.Future):
        """The answer to a call that nobody waits for yet."""

        slot = None
        call = 0

        def __init__(self, conn):
            super().__init__()
            self.conn = conn

        def settle(self):
            """Take the answer."""
            try:
                value = self.conn.result_of(self.slot)[0]
            except BaseException as error:
                if not self.done():
                    self.set_exception(error)
            else:
                if not self.done():
                    self.set_result(value)

        def wait(self, timeout):
            """Wait for the answer. What is left of the time: another thread may be settling this."""
            if self.done():
                return 0
            until = None if timeout is None else time.monotonic() + timeout
            if self.conn.wait(self.slot, until) and self.slot.answer is None:
                self.settle()  # nothing comes any more
            return None if until is None else max(0, until - time.monotonic())

        def result(self, timeout=None):
            return super().result(self.wait(timeout))

        def exception(self, timeout=None):
            return super().exception(self.wait(timeout))

        def cancel(self):
            if self.done():
                return self.cancelled()
            self.conn.give_up(self.call, self.slot)
            return super().cancel()

        def __await__(self):
            import asyncio

            return asyncio.wrap_future(self).__await__()

    Future.__module__ = "elsewhere"
    _made_future.append(Future)
    return Future


def _operands(operands):
    def write(e):
        _list_head(e.out, len(operands))
        for operand in operands:
            e.whole(operand)

    return write


def _operate(proxy, name, *operands):
    code = OPERATIONS.index(name)

    def write(e):
        e.value(code)
        _operands(operands)(e)

    return _evaluate(proxy, (OPERATE, write))


class Proxy:
    """Names an object of the owner's, plus a path from it: every public name on it belongs to the object."""

    __slots__ = ("__weakref__", "_import", "_steps")

    def __init__(self, imported, steps):
        object.__setattr__(self, "_import", imported)
        object.__setattr__(self, "_steps", steps)

    def __getattribute__(self, name):
        if name.startswith("_"):
            return object.__getattribute__(self, name)
        return Proxy(_part(self, "_import"), _part(self, "_steps") + ((ATTR, name),))

    def __setattr__(self, name, value):
        if name.startswith("_"):
            raise AttributeError("%s: names that begin with an underscore are never paths; see attribute()" % name)
        _evaluate(self, (SET_ATTR, lambda e: (e.value(name), e.whole(value))))

    def __delattr__(self, name):
        if name.startswith("_"):
            raise AttributeError("%s: names that begin with an underscore are never paths; see attribute()" % name)
        _evaluate(self, (DEL_ATTR, lambda e: e.value(name)))

    def __getitem__(self, key):
        return Proxy(_part(self, "_import"), _part(self, "_steps") + ((ITEM, key),))

    def __setitem__(self, key, value):
        _evaluate(self, (SET_ITEM, lambda e: (e.whole(key), e.whole(value))))

    def __delitem__(self, key):
        _evaluate(self, (DEL_ITEM, lambda e: e.whole(key)))

    def __call__(self, *args, **kwargs):
        steps = _part(self, "_steps")
        coroutines = _part(self, "_import").description[3]
        if len(steps) == 1 and steps[0][0] == ATTR and steps[0][1] in coroutines:
            return _submit(self, (DO, lambda e: e.arguments(args, kwargs)))
        conn, *how = _call_path(self, (DO, lambda e: e.arguments(args, kwargs)))
        return conn.call_method(*how)

    def __repr__(self):
        imported, steps = _part(self, "_import"), _part(self, "_steps")
        if steps:
            return "<path %s in the owner>" % _path_name(imported, steps)
        return "<proxy of %s in the owner>" % imported.description[1]

    def __str__(self):
        try:
            return _operate(self, "str")
        except ConnectionLost:
            return repr(self)

    def __hash__(self):
        if _part(self, "_steps"):
            raise TypeError("a path is unhashable, since what is there changes; use get()")
        return _operate(self, "hash")

    def __eq__(self, other):
        if type(other) is Proxy and _part(self, "_import") is _part(other, "_import"):
            if _part(self, "_steps") == () == _part(other, "_steps"):
                return True
        return _operate(self, "eq", other)

    def __dir__(self):
        try:
            return _operate(self, "dir")
        except Exception:
            return object.__dir__(self)

    def __copy__(self):
        return self

    def __deepcopy__(self, memo):
        return self

    def __reduce_ex__(self, protocol):
        if not _tables.writing:
            raise TypeError("a proxy can only be pickled inside a message")
        return _offer(self if not _part(self, "_steps") else Ref(get(self)))


def _forward(name):
    def method(self, *operands):
        return _operate(self, name, *operands)

    method.__name__ = "__%s__" % name
    return method


for _name in OPERATIONS:
    _is_taken = "__%s__" % _name in Proxy.__dict__ and _name != "eq"
    if not _is_taken and _name not in "- next send throw close anext asend athrow aclose await eq".split():
        setattr(Proxy, "__%s__" % _name, _forward(_name))


class Stream:
    """An iterator of the owner's, advanced one item at a time."""

    __slots__ = ("__weakref__", "_proxy")

    def __init__(self, proxy):
        self._proxy = proxy

    def __iter__(self):
        return self

    def __next__(self):
        return _operate(self._proxy, "next")

    def send(self, value):
        return _operate(self._proxy, "send", value)

    def throw(self, error):
        return _operate(self._proxy, "throw", error)

    def close(self):
        _operate(self._proxy, "close")

    def __reduce_ex__(self, protocol):
        return _offer(self)


class AsyncStream:
    """An async generator of the owner's."""

    def __init__(self, proxy):
        self._proxy = proxy

    def __aiter__(self):
        return self

    def _ask(self, name, *operands):
        code = OPERATIONS.index(name)

        def write(e):
            e.value(code)
            _operands(operands)(e)

        return _submit(self._proxy, (OPERATE, write))

    async def __anext__(self):
        return await self._ask("anext")

    async def asend(self, value):
        return await self._ask("asend", value)

    async def athrow(self, error):
        return await self._ask("athrow", error)

    async def aclose(self):
        await self._ask("aclose")

    def __reduce__(self):
        return _itself, (self._proxy,)


def _type_has(obj, name):
    """Whether the type of an object has a special method: what the owner's `using` asks."""
    return hasattr(type(obj), name)


def _itself(value):
    """What async streams are pickled as."""
    return value


# ---------------------------------------------------------------- verbs
def is_proxy(value):
    """Whether `value` is a proxy."""
    return type(value) is Proxy


def ref(value):
    """Let `value` travel by reference; of a path, pin the object that is there now."""
    if type(value) is Proxy:
        return _evaluate(value, None, REFERENCE) if _part(value, "_steps") else value
    return Ref(value)


def get(path, *default, **options):
    """The value at a path, copied here."""
    if "default" in options:
        default = (options.pop("default"),)
    if type(path) is not Proxy:
        return path
    try:
        return _evaluate(path, None, VALUE, bool(default))
    except _Missing:
        return default[0]


def attribute(proxy, name):
    """A path through any name."""
    return Proxy(_part(proxy, "_import"), _part(proxy, "_steps") + ((ATTR, name),))


def _run_there(function, args, kwargs):
    proxy = next((value for value in itertools.chain(args, kwargs.values()) if type(value) is Proxy), None)
    if proxy is None:
        raise TypeError("expected a path, or a function with a proxy among its arguments")
    conn = _part(proxy, "_import").conn

    def write(e):
        e.value(ATTR)
        e.value("run")
        e.value(DO)
        e.arguments((function,) + args, kwargs)

    return conn, 0, write, 2, AUTO, None, getattr(function, "__qualname__", "a function")


def submit(function, *args, **kwargs):
    """Call without waiting; gives a future."""
    if type(function) is Proxy:
        return _submit(function, (DO, lambda e: e.arguments(args, kwargs)))
    conn, *how = _run_there(function, args, kwargs)
    return _future(conn, how)


def post(function, *args, **kwargs):
    """Call without an answer."""
    if type(function) is Proxy:
        _evaluate(function, (DO, lambda e: e.arguments(args, kwargs)), NOTHING)
        return
    conn, target, write, count, _, receiver, method = _run_there(function, args, kwargs)
    conn.call(target, write, count, NOTHING, receiver, method)


def stream(function, *args, **kwargs):
    """Iterate the result of a call; a host without the package asks for one item after another."""
    if type(function) is Stream:
        return function
    result = function(*args, **kwargs) if type(function) is Proxy else submit(function, *args, **kwargs).result()
    return iter(result)


def close(proxy):
    """Let go of an object now."""
    if type(proxy) is Stream:
        proxy.close()
        return
    if _part(proxy, "_steps"):
        raise TypeError("a path cannot be closed, only the proxy that it begins with")
    _part(proxy, "_import").give_back()


class using:
    """Enters the object's own context, if it has one, and then lets go of the object."""

    def __init__(self, proxy):
        self.proxy = proxy
        self.is_entered = False

    def __enter__(self):
        try:
            entered = _operate(self.proxy, "enter")
        except (TypeError, AttributeError):
            return self.proxy
        self.is_entered = True
        return entered

    def __exit__(self, kind, error, traceback):
        try:
            return self.is_entered and _operate(self.proxy, "exit", kind, error, None)
        finally:
            close(self.proxy)


class deadline:
    """A block within which calls may take at most so many seconds together."""

    def __init__(self, seconds):
        self.seconds = seconds

    def __enter__(self):
        self.before = _here.limit
        limit = time.monotonic() + self.seconds
        _here.limit = limit if self.before is None else min(limit, self.before)
        return self

    def __exit__(self, *error):
        _here.limit = self.before


def _stand_in():
    """Modules under the names of the package, for methods that import it and for pickles that name it."""
    face = types.ModuleType("elsewhere", "What a method may use of elsewhere in an interpreter that does not have it.")
    verbs = (is_proxy, ref, get, attribute, submit, post, stream, close, using, deadline, by_reference)
    for verb in verbs:
        verb.__module__ = "elsewhere"
        setattr(face, verb.__name__, verb)
    for name, error in ERRORS.items():
        setattr(face, name, error)
    face.Proxy, face.Stream, face.__path__ = Proxy, Stream, []
    face.__version__ = TOLD.get("version", "0")
    face.__all__ = sorted([verb.__name__ for verb in verbs] + list(ERRORS))

    def missing(name):
        if name.startswith("_"):
            raise AttributeError(name)

        def refuse(*_args, **_kwargs):
            text = "elsewhere.%s is not to be had in an interpreter without the package elsewhere (%s)"
            raise RuntimeError(text % (name, sys.executable))

        return refuse

    face.__getattr__ = missing
    modules = {
        "elsewhere": face,
        "elsewhere._core": (_reference, _return_mark, _declare_returns, Proxy, Ref, Stream) + verbs,
        "elsewhere._async_stream": (_itself,),
        "elsewhere._rebuilt": (_rebuild_stand_in, _reduce_stand_in),
        "elsewhere._api": (_type_has,),
        "elsewhere._shared": (_make_machine_array, _make_dates, _make_strided),
        "elsewhere._errors": (_rebuild,),
        "elsewhere._pickle": (_make_view,),
        "elsewhere._raised": (_restore, StoredGroup),
    }
    for name, names in modules.items():
        module = face
        if name != "elsewhere":
            module = types.ModuleType(name)
            for value in names:
                if name != "elsewhere._core" or value in (_reference, _return_mark, _declare_returns):
                    value.__module__ = name  # by which it is pickled
                setattr(module, value.__name__, value)
            setattr(face, name.rpartition(".")[2], module)
        sys.modules[name] = module
    for name, error in ERRORS.items():
        setattr(sys.modules["elsewhere._errors"], name, error)
    for kind in (Proxy, Ref, Stream, AsyncStream):
        kind.__module__ = "elsewhere"


# ---------------------------------------------------------------- modules and scripts
_only_here = {}
_directories = set()
_scripts = itertools.count(1)


def _is_only_here(name):
    """Whether a module is a script, or was loaded from where only this process looks."""
    known = _only_here.get(name)
    if known is None:
        found = sys.modules.get(name)
        places = _places(found) if found is not None else []
        known = any(_is_below(place, directory) for place in places for directory in _directories)
        _only_here[name] = known
    return known


def _own(directory):
    _directories.add(directory)
    for name in [name for name, is_only in _only_here.items() if not is_only]:
        del _only_here[name]
    _only_here[""] = False


def _places(found):
    place = getattr(found, "__file__", None)
    return [place] if isinstance(place, str) else [str(place) for place in getattr(found, "__path__", ())]


def _is_below(place, directory):
    return os.path.realpath(place).startswith(os.path.join(os.path.realpath(directory), ""))


def _imported_module(name):
    __import__(name)
    return sys.modules[name]


def _module(name, path):
    if path is None:
        return _imported_module(name)
    if os.path.isdir(path):
        is_new = path not in sys.path
        if is_new:
            sys.path.insert(0, path)
            sys.path_importer_cache.pop(path, None)
        found = _imported_module(name)
        if not any(_is_below(place, path) for place in _places(found)):
            _refuse_module(name, found, path)
        if is_new:
            _own(path)
        return found
    if os.path.isfile(path):
        return _module_of_file(name, path)
    raise FileNotFoundError("there is neither a directory nor a file %r to load the module %s from" % (path, name))


def _module_of_file(name, path):
    known = sys.modules.get(name)
    if known is not None:
        if not any(os.path.samefile(place, path) for place in _places(known) if os.path.exists(place)):
            _refuse_module(name, known, path)
        return known
    import importlib.util

    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        text = "%r is no Python file, so no module %s can be loaded from it" % (path, name)
        raise ImportError(text, name=name, path=path)
    made = importlib.util.module_from_spec(spec)
    sys.modules[name] = made
    try:
        spec.loader.exec_module(made)
    except BaseException:
        sys.modules.pop(name, None)
        raise
    _only_here[name] = True
    return sys.modules.get(name, made)


def _refuse_module(name, found, wanted):
    place = ", ".join(_places(found)) or "the interpreter itself"
    text = "a module %s is loaded already, from %s, and not from %s; rename one, or use another host"
    raise ImportError(text % (name, place, wanted), name=name, path=wanted)


def _script(source, into):
    if into is not None and not isinstance(into, types.ModuleType):
        text = "into= takes what script() or module() of this host gave, not an object of type %s"
        raise TypeError(text % type(into).__qualname__)
    import linecache

    name = "<script %d>" % next(_scripts)
    linecache.cache[name] = (len(source), None, source.splitlines(True), name)
    code = compile(source, name, "exec", 0, True)
    namespace = into
    if into is None:
        namespace = sys.modules[name] = types.ModuleType(name)
        _only_here[name] = True
    try:
        exec(code, namespace.__dict__)
    except BaseException:
        if into is None:
            sys.modules.pop(name, None)
        raise
    return namespace


# ---------------------------------------------------------------- object number 0
def _find(path):
    """The object that is named "module:qualified.name"; its module is imported if it is not yet."""
    module_name, _, qualname = path.partition(":")
    try:
        __import__(module_name)
        found = sys.modules[module_name]
        for name in qualname.split("."):
            found = getattr(found, name)
    except Exception as error:
        text = (
            "%s cannot be imported in the host (%s: %s), so nothing was made. What is put elsewhere must be importable "
            "there, too, by %s (Python %s): Host(path=[...]) adds directories, Host.module and Host.script load code"
        )
        version = "%d.%d" % sys.version_info[:2]
        how = (path.replace(":", "."), type(error).__name__, error, sys.executable, version)
        raise ArgumentError(text % how, outcome="not_started") from error
    return found


class Bootstrap:
    """Object number 0: what a host can do before it holds anything."""

    def configure(self, settings):
        """Take over what the owner says of output, import path and modules; unknown keys are ignored."""
        if settings.get("output") == "home":
            _set_streams(encoding="utf-8")
            CONNECTION.flushes = True
        sys.path[:0] = settings.get("front", ())
        for directory in settings.get("own_path", ()):
            _own(directory)
        if settings.get("cloudpickle"):
            sys.meta_path.append(_Cloudpickle(settings["cloudpickle"]))
        if settings.get("levels") is not None:
            self.set_levels(settings["levels"])
        for module in settings.get("preload", ()):
            __import__(module)

    def set_levels(self, wanted):
        """Send home the log records that the owner wants."""
        _send_logs(wanted["levels"], wanted["disabled"])

    def construct(*args, **kwargs):
        """Make an object."""
        return args[1](*args[2:], **kwargs)

    def construct_named(self, path, args, kwargs):
        """Make an object from a factory that is named "module:qualified.name"."""
        return _find(path)(*args, **kwargs)

    def receive(self, value):
        """Take in an object that was sent."""
        return value

    def run(*args, **kwargs):
        """Run a function here."""
        return args[1](*args[2:], **kwargs)

    def end_lane(self):
        """A thread or task of the owner has ended: nothing is kept for it here."""

    def module(self, name, path):
        """Give a module, imported if it is not yet; with `path` from there."""
        return _module(name, path)

    def script(self, source, into):
        """Run a source text in a namespace of its own, or in the module `into`; give that."""
        return _script(source, into)


BOOTSTRAP = Bootstrap()
CONNECTION = None


class _Cloudpickle:
    """Finds the owner's cloudpickle, which is plain Python, where this interpreter has none."""

    def __init__(self, directory):
        self.directory = directory

    def find_spec(self, name, path=None, target=None):
        if name != "cloudpickle":
            return None
        import importlib.util

        file = os.path.join(self.directory, "__init__.py")
        return importlib.util.spec_from_file_location(name, file, submodule_search_locations=[self.directory])


# ---------------------------------------------------------------- logs
_home_handler = []


def _send_logs(levels, disabled):
    """Send log records home from now on, those of these levels."""
    import logging

    if not _home_handler:
        _home_handler.append(_make_home_handler(logging))
        logging.getLogger().addHandler(_home_handler[0])
    handler = _home_handler[0]
    for name in handler.levels.keys() - levels.keys():
        logging.getLogger(name).setLevel(logging.NOTSET)
    handler.levels, handler.disabled = levels, disabled
    for name, level in levels.items():
        logging.getLogger(name or None).setLevel(level)
    logging.disable(disabled)


def _make_home_handler(logging):
    formatter = logging.Formatter()

    class HomeHandler(logging.Handler):
        """Sends the records that the owner wants; what finds no room is counted, the sum told with each."""

        levels = {}
        disabled = 0
        dropped = 0

        def filter(self, record):
            name = "" if record.name == "root" else record.name
            while name and name not in self.levels:
                name = name.rpartition(".")[0]
            if record.levelno <= self.disabled or record.levelno < self.levels.get(name, 0):
                return False
            return super().filter(record)

        def emit(self, record):
            attributes = dict(record.__dict__)
            if record.exc_info:
                attributes["exc_text"] = record.exc_text or formatter.formatException(record.exc_info)
            attributes["msg"], attributes["args"], attributes["exc_info"] = record.getMessage(), None, None
            for name, value in attributes.items():
                if type(value) not in (str, int, float, bool, type(None)):
                    attributes[name] = repr(value)
                if isinstance(attributes[name], str):
                    attributes[name] = _cut(attributes[name], TEXT_LIMIT)
            if not CONNECTION.tell(self.dropped, attributes, {}):
                self.dropped += 1

    return HomeHandler()


# ---------------------------------------------------------------- the process
def _set_streams(**options):
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:
            continue
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(**options)
        else:  # CPython 3.6
            import io

            encoding = options.get("encoding", stream.encoding)
            how = {"encoding": encoding, "errors": stream.errors, "line_buffering": True}
            setattr(sys, name, io.TextIOWrapper(stream.detach(), **how))


def _close_inherited():
    """What the owner made inheritable is meant for other programs; here it would keep their pipes open."""
    for name in os.listdir("/proc/self/fd"):
        if int(name) > 2:
            try:
                os.close(int(name))
            except OSError:
                pass  # that of the listing itself


def _take_socket():
    """The socket that came as stdin, which becomes /dev/null."""
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM, 0, os.dup(0))
    null = os.open(os.devnull, os.O_RDWR)
    os.dup2(null, 0)
    os.close(null)
    return sock


def _answer_offer(sock):
    """Take of the memory that the owner may offer with its first byte what passes values; decline the rings."""
    data, ancillary, _, _ = sock.recvmsg(1, socket.CMSG_SPACE(16))
    fds = []
    for level, kind, content in ancillary:
        if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
            fds += [struct.unpack_from("i", content, at)[0] for at in range(0, len(content) - len(content) % 4, 4)]
    if data != b"M":
        return None
    try:
        memory, theirs = _open_channel(fds)
        sock.sendmsg([b"B"], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, struct.pack("i", theirs.fileno()))])
        theirs.close()
        return memory
    except (ImportError, OSError, ValueError, IndexError):
        sock.sendall(b"R")
        return None
    finally:
        for fd in fds:
            os.close(fd)


def _open_channel(fds):
    import mmap

    channel = mmap.mmap(fds[0], os.fstat(fds[0]).st_size)
    if channel[:8] != LAYOUT or sys.byteorder != "little":
        raise ValueError("memory of another layout")
    words, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
    return _Memory(channel, words), theirs


def _hello(conn):
    e = _Encoder(conn, False)
    implementation = "elsewhere-bare %s %s" % (TOLD.get("version", "0"), sys.implementation.name)
    version = "%d.%d.%d" % sys.version_info[:3]
    e.value({"pid": os.getpid(), "python": version, "implementation": implementation, "max_message": 1 << 30})
    capabilities = (
        CHUNKS | (SERIAL if conn.concurrency == "serial" else 0) | (BUFFERS if conn.memory is not None else 0)
    )
    conn.send(HELLO, MAGIC, capabilities, 0, 1, bytes(e.out))


def _read_hello(conn):
    while len(conn.rest) < 32 + struct.unpack_from("<I", conn.rest.ljust(4, b"\0"))[0]:
        data = conn.sock.recv(4096)
        if not data:
            raise SystemExit("the owner was gone before it said hello")
        conn.rest += data
    length, kind, _, _, magic, _, _, version = HEADER.unpack_from(conn.rest)
    if kind != HELLO or magic != MAGIC or version != 1:
        raise SystemExit("the owner speaks version %d of the protocol, and this host version 1" % version)
    hello = _Reader(conn, conn.rest[32 : 32 + length]).value()
    conn.rest = conn.rest[32 + length :]
    conn.max_message = hello.get("max_message", conn.max_message)
    theirs = hello.get("python", "").split(".")[:2]
    ours = ["%d" % part for part in sys.version_info[:2]]
    TOLD["is_same_python"] = theirs == ours and sys.implementation.name == "cpython"


def _use_core():
    """Whether this interpreter has the package in the owner's version: then its core is the host."""
    try:
        elsewhere = __import__("elsewhere")
        if elsewhere.__version__ != TOLD["version"] or TOLD.get("is_bare"):
            raise ImportError
        main = __import__("elsewhere._host_main", fromlist=["main"]).main
    except (Exception, SystemExit):  # none there, or one that does not work
        for name in [name for name in sys.modules if name == "elsewhere" or name.startswith("elsewhere.")]:
            del sys.modules[name]
        return False
    main(TOLD["concurrency"])
    return True


def _host():
    """Be a host until the owner is done with this process."""
    global CONNECTION
    concurrency = TOLD["concurrency"]
    if concurrency == "caller":
        raise SystemExit(
            "concurrency='caller' needs the package elsewhere %s in %s, which cannot import it; hosts without it run "
            "calls 'serial', 'async' or on a number of threads" % (TOLD["version"], sys.executable)
        )
    _close_inherited()
    _stand_in()
    sock = _take_socket()
    memory = _answer_offer(sock)
    conn = CONNECTION = Connection(sock, concurrency)
    conn.memory = memory
    signal.signal(signal.SIGINT, lambda *_: None)
    signal.signal(signal.SIGURG, conn.attend)
    if sys.stdout is not None:
        _set_streams(line_buffering=True)
    _hello(conn)
    _read_hello(conn)
    conn.watch.start()
    try:
        if concurrency == "serial":
            if conn.rest:
                rest, conn.rest = conn.rest, b""
                conn.take(rest)
            conn.serve()
        else:
            conn.runner = _Runner(conn, 0 if concurrency == "async" else concurrency)
            if conn.rest:
                rest, conn.rest = conn.rest, b""
                conn.take(rest)
            conn.runner.serve()
    except Lost:
        pass
    if conn.is_lost:
        conn.watch.attend()


class _Source:
    """Shows tracebacks this file's lines, which are on no disk of an interpreter far away."""

    def get_source(self, _name):
        return SOURCE


if SOURCE:
    __loader__ = _Source()
    if not _use_core():
        _host()
