/** Structures of the kernel's ABI (uapi headers of Linux 6; the same on 64-bit x86 and ARM). */
import koffi from "koffi";

/** struct mount_attr, linux/mount.h. */
export const mountAttributes = koffi.struct({
  attr_set: "uint64_t",
  attr_clr: "uint64_t",
  propagation: "uint64_t",
  userns_fd: "uint64_t",
});

/** struct open_how, linux/openat2.h. */
export const openHow = koffi.struct({ flags: "uint64_t", mode: "uint64_t", resolve: "uint64_t" });

/** struct sock_fprog, linux/filter.h. */
export const filterProgram = koffi.struct({ len: "uint16_t", filter: "uint64_t" });

/** The head of union bpf_attr for BPF_PROG_LOAD, linux/bpf.h. */
export const programLoad = koffi.struct({
  prog_type: "uint32_t",
  insn_cnt: "uint32_t",
  insns: "uint64_t",
  license: "uint64_t",
  log_level: "uint32_t",
  log_size: "uint32_t",
  log_buf: "uint64_t",
  kern_version: "uint32_t",
  prog_flags: "uint32_t",
  prog_name: koffi.array("uint8_t", 16),
  prog_ifindex: "uint32_t",
  expected_attach_type: "uint32_t",
});

/** The head of union bpf_attr for BPF_PROG_ATTACH. */
export const programAttach = koffi.struct({
  target_fd: "uint32_t",
  attach_bpf_fd: "uint32_t",
  attach_type: "uint32_t",
  attach_flags: "uint32_t",
  replace_bpf_fd: "uint32_t",
});

/** struct loop_info64, linux/loop.h. */
export const loopInfo = koffi.struct({
  lo_device: "uint64_t",
  lo_inode: "uint64_t",
  lo_rdevice: "uint64_t",
  lo_offset: "uint64_t",
  lo_sizelimit: "uint64_t",
  lo_number: "uint32_t",
  lo_encrypt_type: "uint32_t",
  lo_encrypt_key_size: "uint32_t",
  lo_flags: "uint32_t",
  lo_file_name: koffi.array("uint8_t", 64),
  lo_crypt_name: koffi.array("uint8_t", 64),
  lo_encrypt_key: koffi.array("uint8_t", 32),
  lo_init: koffi.array("uint64_t", 2),
});

/** struct loop_config, linux/loop.h. */
export const loopConfiguration = koffi.struct({
  fd: "uint32_t",
  block_size: "uint32_t",
  info: loopInfo,
  reserved: koffi.array("uint64_t", 8),
});

/** struct dm_ioctl with its unused members as `rest`, linux/dm-ioctl.h. */
export const mapperRequest = koffi.struct({
  version: koffi.array("uint32_t", 3),
  data_size: "uint32_t",
  data_start: "uint32_t",
  target_count: "uint32_t",
  open_count: "int32_t",
  flags: "uint32_t",
  event_nr: "uint32_t",
  padding: "uint32_t",
  dev: "uint64_t",
  name: koffi.array("char", 128),
  rest: koffi.array("uint8_t", 136),
});

/** struct dm_target_spec, linux/dm-ioctl.h. Its parameters follow it. */
export const mapperTarget = koffi.struct({
  sector_start: "uint64_t",
  length: "uint64_t",
  status: "int32_t",
  next: "uint32_t",
  target_type: koffi.array("char", 16),
});

/** struct winsize, asm-generic/termios.h. */
export const windowSize = koffi.struct({
  ws_row: "uint16_t",
  ws_col: "uint16_t",
  ws_xpixel: "uint16_t",
  ws_ypixel: "uint16_t",
});

/** struct ifreq with the flags member of its union, linux/if.h. */
export const interfaceRequest = koffi.struct({
  ifr_name: koffi.array("char", 16),
  ifr_flags: "int16_t",
  rest: koffi.array("uint8_t", 22),
});

/** The head of siginfo_t as waitid fills it, and the rest as padding, asm-generic/siginfo.h. */
export const signalInformation = koffi.struct({
  si_signo: "int32_t",
  si_errno: "int32_t",
  si_code: "int32_t",
  alignment: "int32_t",
  si_pid: "int32_t",
  si_uid: "uint32_t",
  si_status: "int32_t",
  rest: koffi.array("uint8_t", 100),
});

/** struct sockaddr_un, linux/un.h. */
export const unixAddress = koffi.struct({ sun_family: "uint16_t", sun_path: koffi.array("char", 108) });

/** struct sockaddr_vm, linux/vm_sockets.h. */
export const vsockAddress = koffi.struct({
  svm_family: "uint16_t",
  svm_reserved1: "uint16_t",
  svm_port: "uint32_t",
  svm_cid: "uint32_t",
  svm_flags: "uint8_t",
  svm_zero: koffi.array("uint8_t", 3),
});

/** struct iovec. */
export const ioVector = koffi.struct({ iov_base: "uint64_t", iov_len: "size_t" });

/** struct msghdr, with pointers as numbers. */
export const messageHeader = koffi.struct({
  msg_name: "uint64_t",
  msg_namelen: "uint32_t",
  msg_iov: "uint64_t",
  msg_iovlen: "size_t",
  msg_control: "uint64_t",
  msg_controllen: "size_t",
  msg_flags: "int32_t",
});

/** struct cmsghdr followed by one file descriptor. */
export const descriptorMessage = koffi.struct({
  cmsg_len: "size_t",
  cmsg_level: "int32_t",
  cmsg_type: "int32_t",
  descriptor: "int32_t",
});

/** A zeroed buffer of the structure's size. */
export function emptyOf(type: { readonly size: number }): Buffer {
  return Buffer.alloc(type.size);
}
