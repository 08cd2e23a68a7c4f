/**
 * System calls that reach beyond a guest on the host's kernel. They are denied to this process and its descendants,
 * whatever their capabilities; in a guest with its own kernel CAP_SYS_ADMIN allows them.
 */
import { type DeniedCall, denyCalls } from "@uvm-shim/linux-calls";

const AF_VSOCK = 40;
const MS_REMOUNT = 32;
const MS_BIND = 4096;
const MNT_FORCE = 1;
const FAN_MARK_FILESYSTEM = 0x100;
/** File systems: freeze, thaw, shut down. XFS: open by handle, read a link by handle. Without their size bits. */
const fileSystemRequests = [0x5877, 0x5878, 0x587d, 0x586b, 0x586c];
/** The operations of keyctl by which runtimes make a keyring of their own. */
const ownKeyring = [0, 1, 5, 6];

function numbers(x64: number, ia32: number, arm64: number, arm: number): DeniedCall["numbers"] {
  return { x64, ia32, arm64, arm };
}

function everywhere(number: number): DeniedCall["numbers"] {
  return numbers(number, number, number, number);
}

const modules: readonly DeniedCall[] = [
  { numbers: numbers(175, 128, 105, 128) },
  { numbers: numbers(313, 350, 273, 379) },
  { numbers: numbers(176, 129, 106, 129) },
];
const otherKernels: readonly DeniedCall[] = [
  { numbers: numbers(246, 283, 104, 347) },
  { numbers: { x64: 320, arm64: 294, arm: 401 } },
];
/** All of the host's memory could be read from a container's file if the host swapped to it. */
const swap: readonly DeniedCall[] = [{ numbers: numbers(167, 87, 224, 87) }, { numbers: numbers(168, 115, 225, 115) }];
/** The file systems of shares are the host's: handles, marks, freezing and new options affect the whole file system. */
const fileSystems: readonly DeniedCall[] = [
  { numbers: numbers(304, 342, 265, 371) },
  {
    numbers: numbers(301, 339, 263, 368),
    argument: { index: 1, mask: FAN_MARK_FILESYSTEM, values: [FAN_MARK_FILESYSTEM] },
  },
  { numbers: numbers(16, 54, 29, 54), argument: { index: 1, mask: 0xffff, values: fileSystemRequests } },
  { numbers: numbers(165, 21, 40, 21), argument: { index: 3, mask: MS_REMOUNT | MS_BIND, values: [MS_REMOUNT] } },
  // Programs fall back to mount or mount_setattr on ENOSYS.
  { numbers: everywhere(433), errno: "ENOSYS" },
  { numbers: numbers(166, 52, 39, 52), argument: { index: 1, mask: MNT_FORCE, values: [MNT_FORCE] } },
  { numbers: numbers(179, 131, 60, 131) },
  { numbers: everywhere(443) },
];
/** These show the whole machine, whatever the namespaces and cgroups. */
const observers: readonly DeniedCall[] = [
  { numbers: numbers(103, 103, 116, 103) },
  { numbers: numbers(298, 336, 241, 364) },
];
/** A user has the same keyrings in a container as on the host. */
const keyrings: readonly DeniedCall[] = [
  { numbers: numbers(248, 286, 217, 309) },
  { numbers: numbers(249, 287, 218, 310) },
  { numbers: numbers(250, 288, 219, 311), argument: { index: 0, values: ownKeyring, except: true } },
];
/** Network namespaces do not confine vsock, and io_uring makes sockets without this filter. */
const sockets: readonly DeniedCall[] = [
  { numbers: numbers(41, 359, 198, 281), argument: { index: 0, values: [AF_VSOCK] }, errno: "EAFNOSUPPORT" },
  { numbers: everywhere(425) },
];
const ports: readonly DeniedCall[] = [{ numbers: { x64: 172, ia32: 110 } }, { numbers: { x64: 173, ia32: 101 } }];
/** Runtimes need bpf with version 2 cgroups, to confine containers to their devices. */
const programsOfTheKernel: readonly DeniedCall[] = [{ numbers: numbers(321, 357, 280, 386) }];

/** Denies this process, and all that it starts, the system calls that reach beyond the guest: its kernel is the host's. */
export function denyHostCalls({ needsBpf }: { readonly needsBpf: boolean }): void {
  denyCalls([
    ...[...modules, ...otherKernels, ...swap, ...fileSystems, ...observers, ...keyrings, ...sockets, ...ports],
    ...(needsBpf ? [] : programsOfTheKernel),
  ]);
}
