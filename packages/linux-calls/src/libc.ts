import { constants } from "node:os";
import koffi from "koffi";
import { LinuxCallError } from "./error.ts";

type Result = number | bigint;

/** In koffi's notation. */
const prototypes = {
  mount: "int mount(const char *source, const char *target, const char *type, unsigned long flags, const char *data)",
  umount2: "int umount2(const char *target, int flags)",
  unshare: "int unshare(int flags)",
  setns: "int setns(int fd, int type)",
  fchdir: "int fchdir(int fd)",
  mknod: "int mknod(const char *path, unsigned int mode, uint64_t device)",
  memfd_create: "int memfd_create(const char *name, unsigned int flags)",
  fcntl: "int fcntl(int fd, int command, long argument)",
  flock: "int flock(int fd, int operation)",
  dup3: "int dup3(int old, int new, int flags)",
  socketpair: "int socketpair(int family, int type, int protocol, int *descriptors)",
  pipe2: "int pipe2(int *descriptors, int flags)",
  waitpid: "int waitpid(int pid, int *status, int options)",
  waitid: "int waitid(int idtype, unsigned int id, void *info, int options)",
  prctl: "int prctl(int option, unsigned long a, unsigned long b, unsigned long c, unsigned long d)",
  sigprocmask: "int sigprocmask(int how, const void *set, void *old)",
  sethostname: "int sethostname(const char *name, size_t length)",
  socket: "int socket(int family, int type, int protocol)",
  bind: "int bind(int fd, const void *address, unsigned int length)",
  listen: "int listen(int fd, int backlog)",
  connect: "int connect(int fd, const void *address, unsigned int length)",
  shutdown: "int shutdown(int fd, int how)",
  getsockopt: "int getsockopt(int fd, int level, int name, void *value, void *length)",
  setsockopt: "int setsockopt(int fd, int level, int name, const void *value, unsigned int length)",
  splice: "long splice(int in, void *inOffset, int out, void *outOffset, size_t length, unsigned int flags)",
  accept4: "int accept4(int fd, void *address, void *length, int flags)",
  recvmsg: "long recvmsg(int fd, void *message, int flags)",
  sendmsg: "long sendmsg(int fd, const void *message, int flags)",
  eventfd: "int eventfd(unsigned int value, int flags)",
  read: "long read(int fd, void *bytes, size_t length)",
  write: "long write(int fd, const void *bytes, size_t length)",
  ftruncate: "int ftruncate(int fd, int64_t length)",
  // Addresses of programs are safe integers, and a number is what the check for -1 needs.
  mmap: "intptr_t mmap(void *address, size_t length, int protection, int flags, int fd, int64_t offset)",
  munmap: "int munmap(intptr_t address, size_t length)",
  ioctl: "int ioctl(int fd, unsigned long request, void *argument)",
} as const;

/** Calls that not every glibc wraps. */
const syscalls = {
  pivot_root: { numbers: { x64: 155, arm64: 41 }, types: ["str", "str"] },
  open_tree: { numbers: { x64: 428, arm64: 428 }, types: ["int", "str", "uint"] },
  move_mount: { numbers: { x64: 429, arm64: 429 }, types: ["int", "str", "int", "str", "uint"] },
  seccomp: { numbers: { x64: 317, arm64: 277 }, types: ["uint", "uint", "void *"] },
  bpf: { numbers: { x64: 321, arm64: 280 }, types: ["int", "void *", "uint"] },
  openat2: { numbers: { x64: 437, arm64: 437 }, types: ["int", "str", "void *", "size_t"] },
  mount_setattr: { numbers: { x64: 442, arm64: 442 }, types: ["int", "str", "uint", "void *", "size_t"] },
} as const;

/** The name of a function of the C library, or of a system call that has none there. */
export type CallName = keyof typeof prototypes | keyof typeof syscalls;

let library: ReturnType<typeof koffi.load> | undefined;
const bound = new Map<CallName, (...parameters: unknown[]) => Result>();

function bind(name: CallName): (...parameters: unknown[]) => Result {
  const known = bound.get(name);
  if (known !== undefined) return known;
  if (process.platform !== "linux" || (process.arch !== "x64" && process.arch !== "arm64")) {
    throw new Error(
      `unsupported platform ${process.platform}-${process.arch}: @uvm-shim/linux-calls requires linux-x64 or linux-arm64`,
    );
  }
  library ??= koffi.load("libc.so.6");
  let call: (...parameters: unknown[]) => Result;
  if (name in prototypes) {
    call = library.func(prototypes[name as keyof typeof prototypes]);
  } else {
    const { numbers, types } = syscalls[name as keyof typeof syscalls];
    const number = numbers[process.arch];
    const raw = library.func("syscall", "long", ["long", ...types]);
    call = (...parameters) => raw(number, ...parameters);
  }
  bound.set(name, call);
  return call;
}

/** As `invoke`, but undefined if the call would have to wait (EAGAIN), which is too frequent to make an error each time. */
export function invokeUnlessBusy(name: CallName, subject: string, ...parameters: unknown[]): number | undefined {
  const result = Number(bind(name)(...parameters));
  if (result !== -1) return result;
  const errno = koffi.errno();
  if (errno === constants.errno.EAGAIN) return undefined;
  throw new LinuxCallError(name, subject, errno);
}

/**
 * Makes one system call and returns its result. A result of -1 throws {@link LinuxCallError}, whose message names
 * `subject`.
 */
export function invoke(name: CallName, subject: string, ...parameters: unknown[]): number {
  const result = Number(bind(name)(...parameters));
  if (result === -1) throw new LinuxCallError(name, subject, koffi.errno());
  return result;
}

/** More than concurrent signals or renames can plausibly interrupt. */
const mostAttempts = 64;

/**
 * Repeats a call that fails with EAGAIN, at most 64 times. From a call that never waits, EAGAIN means an interruption,
 * such as a signal during the verification of a program or a rename during the resolution of a path.
 */
export function repeatIfInterrupted(call: () => number): number {
  for (let attempt = 1; ; attempt++) {
    try {
      return call();
    } catch (error) {
      const wasInterrupted = error instanceof LinuxCallError && error.errno === constants.errno.EAGAIN;
      if (!wasInterrupted || attempt === mostAttempts) throw error;
    }
  }
}
