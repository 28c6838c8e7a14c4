"""tests/lib/stops.py - programs that end at their n-th call that writes (tests/helpers/preload/stop.c)"""
import ctypes, mmap

from mm import *

PROGRAMS = ('mmd', 'mm-smtpd', 'mm-parse', 'mmctl', 'mm-import', 'mm-retention')
KINDS = ('pwritev', 'write', 'send', 'fsync', 'fdatasync', 'ftruncate', 'open', 'rename', 'unlink', 'mkdir')
MOMENTS = ('before', 'half', 'after')
ROOM = 8 # names in the plan
LIBRARY = os.path.join(os.path.dirname(build('clang')), 'lib', 'libstop.so')

class Layout(ctypes.Structure): # struct plan
    _fields_ = [('names', ctypes.c_char * 16 * ROOM), ('program', ctypes.c_uint32), ('kind', ctypes.c_uint32),
                ('at', ctypes.c_uint64), ('moment', ctypes.c_uint32), ('tree', ctypes.c_uint32), ('hit', ctypes.c_uint32),
                ('over', ctypes.c_uint32), ('seen', ctypes.c_uint64 * len(KINDS) * ROOM)]

class Plan:
    """Of one data directory: what comes to `env` of each program that is meant to take part."""
    def __init__(self, path):
        with open(path, 'w+b') as f:
            f.truncate(ctypes.sizeof(Layout))
            self.map = mmap.mmap(f.fileno(), ctypes.sizeof(Layout))
        self.plan = Layout.from_buffer(self.map)
        for name, program in zip(self.plan.names, PROGRAMS):
            name.value = program.encode()
        # The library comes before a sanitizer's, whose calls it makes.
        options = os.environ.get('ASAN_OPTIONS', 'exitcode=99') + ':verify_asan_link_order=0:detect_leaks=0'
        self.env = {'LD_PRELOAD': LIBRARY, 'MM_STOP': path, 'ASAN_OPTIONS': options}
        self.set()

    def set(self, program=None, kind='write', at=1, moment='before', tree=False):
        """No program of the site runs. None: calls are counted only."""
        p = self.plan
        p.program = PROGRAMS.index(program) if program else ROOM
        p.kind, p.at, p.moment, p.tree, p.hit, p.over = KINDS.index(kind), at, MOMENTS.index(moment), tree, 0, 0
        ctypes.memset(p.seen, 0, ctypes.sizeof(p.seen))

    def hit(self):
        return bool(self.plan.hit)

    def seen(self):
        """{(program, kind): calls} since set."""
        return {(program, kind): n for program, counts in zip(PROGRAMS, self.plan.seen) for kind, n in zip(KINDS, counts) if n}
