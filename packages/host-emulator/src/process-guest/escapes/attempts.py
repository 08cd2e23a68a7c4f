"""What root with every capability that a container can have tries in it, to get at the machine below its VM. Each attempt
is harmless where it succeeds. Tells of each the errno by name, or what was reached, as JSON in the file that is named."""
import ctypes
import errno
import json
import os
import socket
import struct
import sys

libc = ctypes.CDLL(None, use_errno=True)
X64 = os.uname().machine == "x86_64"


def call(x64, arm64, *arguments):
    """A system call by its numbers, with plain numbers and buffers as arguments."""
    words = [ctypes.c_long(word) if isinstance(word, int) else word for word in arguments]
    result = libc.syscall(ctypes.c_long(x64 if X64 else arm64), *words)
    if result < 0:
        raise OSError(ctypes.get_errno(), "system call")
    return result


def mount(source, target, kind, flags=0, data=None):
    os.makedirs(target, exist_ok=True)
    texts = [text if text is None else text.encode() for text in (source, target, kind, data)]
    if libc.mount(texts[0], texts[1], texts[2], ctypes.c_ulong(flags), texts[3]) != 0:
        raise OSError(ctypes.get_errno(), "mount")


def write(path, text):
    file = os.open(path, os.O_WRONLY)
    try:
        os.write(file, text.encode())
    finally:
        os.close(file)


def rewrite(path):
    with open(path) as file:
        text = file.read()
    write(path, text)


def handle_of(path):
    handle = ctypes.create_string_buffer(struct.pack("Ii", 128, 0), 136)
    identity = ctypes.c_int()
    call(303, 264, -100, path.encode(), handle, ctypes.byref(identity), 0)
    return handle


def open_by_handle():
    folder = os.open("/", os.O_RDONLY)
    os.close(call(304, 265, folder, handle_of("/name"), os.O_RDONLY))


def node(kind, numbers):
    path = "/tmp/%s-%s" % (kind, numbers.replace(":", "-"))
    if not os.path.exists(path):
        mode = {"b": 0o060600, "c": 0o020600}[kind]
        os.mknod(path, mode, os.makedev(*map(int, numbers.split(":"))))
    return path


def read_node(kind, numbers):
    file = os.open(node(kind, numbers), os.O_RDONLY | os.O_NONBLOCK)
    os.close(file)


def own_proc():
    if not os.path.exists("/tmp/proc/self"):
        mount("proc", "/tmp/proc", "proc")
    return "/tmp/proc"


def setting(name):
    rewrite("%s/sys/%s" % (own_proc(), name))


def group(controller):
    """The root of a hierarchy of version 1, as the VM has it."""
    path = "/tmp/cgroup-" + controller
    if not os.path.exists(path + "/cgroup.procs"):
        mount("cgroup", path, "cgroup", 0, controller)
    return path


def devices_allowed():
    write(group("devices") + "/devices.allow", "c 10:229 rwm")


def memory_unlimited():
    path = group("memory") + "/memory.limit_in_bytes"
    write(path, "-1")


def fanotify(flags):
    watcher = call(300, 262, 0, 0)
    try:
        call(301, 263, watcher, 1 | flags, 0x20, -100, b"/name")
    finally:
        os.close(watcher)


def clock():
    state = ctypes.create_string_buffer(256)
    call(159, 171, state)
    struct.pack_into("I", state, 0, 0x4000)
    call(159, 171, state)


def abstract_socket(name):
    with socket.socket(socket.AF_UNIX) as client:
        client.connect("\0" + name)


def in_user_namespace(attempt):
    child = os.fork()
    if child == 0:
        try:
            libc.unshare(0x10000000)
            attempt()
            os._exit(0)
        except OSError as error:
            os._exit(error.errno)
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    if status != 0:
        raise OSError(status, "in a user namespace")


def as_32_bit(number):
    """By the gate of 32-bit programs, which a 64-bit one finds open too. Where there is none, using it kills."""
    import mmap, signal

    code = mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
    # push rbx; mov eax, number; xor ebx, ebx; xor ecx, ecx; xor edx, edx; int 0x80; pop rbx; ret
    code.write(b"\x53\xb8" + struct.pack("<I", number) + b"\x31\xdb\x31\xc9\x31\xd2\xcd\x80\x5b\xc3")
    child = os.fork()
    if child == 0:
        result = ctypes.CFUNCTYPE(ctypes.c_int)(ctypes.addressof(ctypes.c_char.from_buffer(code)))()
        os._exit(-result if result < 0 else 0)
    status = os.waitpid(child, 0)[1]
    if os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGSEGV:
        raise OSError(errno.ENOSYS, "no gate for system calls of 32 bits")
    if os.waitstatus_to_exitcode(status) != 0:
        raise OSError(os.waitstatus_to_exitcode(status), "system call of 32 bits")


def processes():
    names = [name for name in os.listdir(own_proc()) if name.isdigit()]
    foreign = [pid for pid in names if int(pid) not in (os.getpid(), 1)]
    if foreign:
        return "processes " + " ".join(foreign)
    raise OSError(errno.ESRCH, "no other process")


if sys.argv[1] == "gate":
    # Fails on a machine that has none.
    as_32_bit(20)
    sys.exit()
given = json.loads(sys.argv[1])
NULL = None
attempts = {
    "open a file of the host by its handle": open_by_handle,
    "open a file by its handle, in a user namespace": lambda: in_user_namespace(open_by_handle),
    "use a system call of 32 bits": (lambda: as_32_bit(342)) if X64 else open_by_handle,
    "widen the devices of the VM": devices_allowed,
    "open a device of the host": lambda: read_node("c", "10:229"),
    "open the memory of the host": lambda: read_node("c", "1:1"),
    "open a disk of the host": lambda: read_node("b", given["disk"]),
    "read /proc/kcore": lambda: os.close(os.open(own_proc() + "/kcore", os.O_RDONLY)),
    "name the host's handler of core files": lambda: setting("kernel/core_pattern"),
    "name the host's loader of modules": lambda: setting("kernel/modprobe"),
    "change how the host gives memory": lambda: setting("vm/overcommit_ratio"),
    "change what panics the host": lambda: setting("kernel/panic"),
    "press a key of the host": lambda: os.close(os.open("/proc/sysrq-trigger", os.O_WRONLY)),
    "steer the interrupts of the host": lambda: os.close(os.open("/proc/irq/default_smp_affinity", os.O_WRONLY)),
    "load a module": lambda: call(175, 105, NULL, 0, b""),
    "load another kernel": lambda: call(246, 104, 0, 0, NULL, 0xFFFF0000),
    "read the host's log": lambda: call(103, 116, 3, ctypes.create_string_buffer(4096), 4096),
    "set the host's clock": clock,
    "use ports of the host": lambda: call(172, 9999, 3),
    "have the host swap to a file": lambda: call(167, 224, b"/none", 0),
    "freeze a file system of the host": lambda: call(16, 29, os.open("/name", os.O_RDONLY), 0xC0045878, 0),
    "give a file system of the host new options": lambda: mount(None, "/", None, 32),
    "give it new options the newer way": lambda: call(433, 433, -100, b"/", 0),
    "force the unmount of a share": lambda: call(166, 39, b"/nowhere", 1),
    "switch quotas of the host": lambda: call(179, 60, 0, b"/dev/none", 0, NULL),
    "watch a file system of the host": lambda: fanotify(0x100),
    "name a release agent": lambda: mount("cgroup", group("devices"), "cgroup", 32, "devices,release_agent=/x"),
    "find the file of the release agent": lambda: os.stat(group("devices") + "/release_agent"),
    "load a program into the host's kernel": lambda: call(321, 280, 0, ctypes.create_string_buffer(128), 128),
    "count events of the host": lambda: call(298, 241, NULL, 0, -1, -1, 0),
    "read root's keys": lambda: call(250, 219, 11, -4, NULL, 0),
    "add a key to root's": lambda: call(248, 217, b"user", b"uvm-shim-test", b"x", 1, -4),
    "have a ring do system calls": lambda: call(425, 425, 1, ctypes.create_string_buffer(256)),
    "make a socket to the machine below": lambda: socket.socket(40, socket.SOCK_STREAM).close(),
    "reach an abstract socket of the host": lambda: abstract_socket(given["socket"]),
    "see a process of the host": processes,
    # What such a container can do, and its VM's limits hold all the same.
    "lift the memory limit that its VM sees": memory_unlimited,
    "set what its network namespace has": lambda: setting("net/ipv4/ip_forward"),
    "set what its IPC namespace has": lambda: setting("kernel/shmmni"),
    "make a mount read-only": lambda: (mount("/tmp", "/tmp/again", None, 4096), mount(None, "/tmp/again", None, 4096 | 32 | 1)),
    "watch a file": lambda: fanotify(0),
    # What a container can do that may mount.
    "mount the devices of the host": lambda: mount("dev", "/tmp/dev", "devtmpfs"),
    "have a keyring of its own": lambda: call(250, 219, 1, NULL),
}

results = {}
for name, attempt in attempts.items():
    try:
        results[name] = attempt() if name.startswith("see") else (attempt(), "done")[1]
    except OSError as error:
        results[name] = errno.errorcode.get(error.errno, str(error))
with open("/results.json", "w") as file:
    json.dump(results, file)
