/** Specifications that are refused: each with the code and the message that names what, where, and what is expected. */
import type { StatusName } from "@uvm-shim/ttrpc";
import type { Specification } from "../../shim-client/spec.ts";
import { bind, withMounts } from "./protocol-containers.ts";

type Wrong = readonly [
  what: string,
  change: (specification: Specification) => object,
  code: StatusName,
  message: string,
];

const wrongMount = (mount: object, code: StatusName, message: string): Wrong => [
  JSON.stringify(mount),
  withMounts(mount),
  code,
  message,
];
const wrongProcess = (fields: object, code: StatusName, message: string): Wrong => [
  JSON.stringify(fields),
  (specification) => ({ ...specification, process: { ...specification.process, ...fields } }),
  code,
  message,
];
const wrongLinux = (fields: object, code: StatusName, message: string): Wrong => [
  JSON.stringify(fields),
  (specification) => ({ ...specification, linux: { ...specification.linux, ...fields } }),
  code,
  message,
];
const wrong = (fields: object, code: StatusName, message: string): Wrong => [
  JSON.stringify(fields),
  (specification) => ({ ...specification, ...fields }),
  code,
  message,
];

/** What a user can get wrong, with the code and the message that names what, where, and what is expected. */
export const WRONG: readonly Wrong[] = [
  wrong({ root: undefined }, "InvalidArgument", "config.json: root is missing: a Linux container requires it"),
  wrong({ linux: undefined }, "InvalidArgument", "config.json: linux is missing"),
  wrong({ process: undefined }, "InvalidArgument", "config.json: process is missing"),
  wrong({ ociVersion: 1 }, "InvalidArgument", "config.json: ociVersion: expected a string, got 1"),
  wrong(
    { annotations: { "io.microsoft.lcow.shm.size-kb": "64m" } },
    "InvalidArgument",
    'io.microsoft.lcow.shm.size-kb is "64m", expected a positive number of KiB',
  ),
  wrong(
    { annotations: { "io.kubernetes.cri.container-type": "pod" } },
    "InvalidArgument",
    'io.kubernetes.cri.container-type is "pod", expected sandbox or container',
  ),
  wrong(
    { windows: { layerFolders: ["/x"] } },
    "InvalidArgument",
    "expected either mounts or config.json: windows.layerFolders",
  ),
  wrong(
    { linux: { resources: { devices: [{ allow: "yes" }] } } },
    "InvalidArgument",
    "linux.resources.devices[0].allow: expected true or false",
  ),
  wrong(
    { linux: { devices: [{ path: "/dev/nothing", type: "c" }] } },
    "NotFound",
    "linux.devices[0].path: device /dev/nothing does not exist in the guest",
  ),
  wrongMount({ destination: "x", type: "tmpfs" }, "InvalidArgument", '.destination: "x" is not an absolute path'),
  wrongMount({ destination: "/x", type: "nfs" }, "InvalidArgument", '.type of /x is "nfs", expected one of bind,'),
  wrongMount(bind("/x", "/no/such/place"), "NotFound", ".source: /no/such/place does not exist on the host"),
  wrongMount(bind("/x", "/dev/null"), "InvalidArgument", "/dev/null is neither a file nor a directory"),
  wrongMount(bind("/x", "uvm:///none"), "NotFound", ".source: uvm:///none does not exist in the guest"),
  wrongMount(bind("/x", "sandbox://../../etc"), "InvalidArgument", 'expected sandbox://<path> without ".."'),
  wrongMount(bind("/x", "hugepages://3M/a"), "InvalidArgument", "with a page size of 2M"),
  wrongMount({ destination: "/x", type: "virtual-disk", source: "/none.vhd" }, "NotFound", "/none.vhd does not exist"),
  wrongMount(
    { destination: "/x", type: "physical-disk", source: "/etc/passwd" },
    "InvalidArgument",
    "/etc/passwd is a file, expected a block device",
  ),
  wrongMount(
    { destination: "/x", type: "extensible-virtual-disk", source: "/etc/passwd" },
    "InvalidArgument",
    "expected evd://<provider>/<path>",
  ),
  wrongMount(
    { destination: "/x", type: "extensible-virtual-disk", source: "evd://provider/disk" },
    "Unimplemented",
    "unsupported type ExtensibleVirtualDisk: expected VirtualDisk or PassThru",
  ),
  wrongProcess({ args: [] }, "InvalidArgument", "config.json: process.args: expected a command, got an empty one"),
  wrongProcess({ cwd: "tmp" }, "InvalidArgument", 'config.json: process.cwd: "tmp" is not an absolute path'),
  wrongProcess({ user: { uid: -1, gid: 0 } }, "InvalidArgument", "process.user.uid: expected an integer from 0"),
  wrongProcess({ oomScoreAdj: 2000 }, "InvalidArgument", "process.oomScoreAdj: expected an integer from -1000 to 1000"),
  wrongProcess({ rlimits: [{ type: "RLIMIT_NOFILE" }] }, "InvalidArgument", "process.rlimits[0].hard"),
  wrong(
    { annotations: { "io.microsoft.virtualmachine.lcow.privileged": "yes" } },
    "InvalidArgument",
    'lcow.privileged is "yes", expected one of 1, t, T, TRUE, true',
  ),
  wrong(
    { annotations: { "io.microsoft.lcow.rlimitcore": "2;1" } },
    "InvalidArgument",
    "expected <soft>;<hard> in bytes",
  ),
  wrong(
    { annotations: { "io.microsoft.container.lcow.tee-log-path": "../x" } },
    "InvalidArgument",
    "tee-log-path is a text of 4 characters, expected a relative path",
  ),
  wrong(
    { annotations: { "io.microsoft.container.lcow.tee-log-dir-mount": "x" } },
    "InvalidArgument",
    'tee-log-dir-mount is "x", expected an absolute path',
  ),
  wrong(
    { annotations: { key: 1 } },
    "InvalidArgument",
    'config.json: annotations["key"] is a number, expected a string',
  ),
  wrong({ annotations: [] }, "InvalidArgument", "annotations must be an object of strings"),
  wrong(
    { annotations: { "io.kubernetes.cri.sandbox-id": "other" } },
    "FailedPrecondition",
    "annotations name sandbox other, this shim has pod",
  ),
  wrong({ hostname: "two words" }, "InvalidArgument", 'hostname is "two words", expected letters, digits,'),
  wrong({ root: { path: "" } }, "InvalidArgument", "config.json: root.path is empty, expected a path"),
  wrong({ windows: { devices: "x" } }, "InvalidArgument", 'config.json: windows.devices: expected a list, got "x"'),
  wrong(
    { windows: { devices: [{ id: "", idType: "vpci" }] } },
    "InvalidArgument",
    'windows.devices[0].id is "", expected a device instance path',
  ),
  wrong(
    { windows: { devices: ["PCIP/0", "pcip"].map((id) => ({ id, idType: "vpci" })) } },
    "InvalidArgument",
    "windows.devices[1].id: pcip/0 is listed twice, first as entry 0",
  ),
  wrongLinux({ namespaces: [{ type: "none" }] }, "InvalidArgument", 'linux.namespaces[0].type: expected "pid" or'),
  wrongLinux({ rootfsPropagation: "up" }, "InvalidArgument", 'linux.rootfsPropagation: expected "" or "private" or'),
  wrongLinux({ devices: [{ type: "c" }] }, "InvalidArgument", "linux.devices[0].path: expected a string, got nothing"),
  wrongLinux({ sysctl: { "net.x": 1 } }, "InvalidArgument", 'linux.sysctl."net.x": expected a string, got 1'),
  wrongLinux({ maskedPaths: "/x" }, "InvalidArgument", 'linux.maskedPaths: expected a list, got "/x"'),
  wrongLinux({ seccomp: { defaultAction: "NONE" } }, "InvalidArgument", 'defaultAction: expected "SCMP_ACT_ALLOW" or'),
  wrongLinux(
    { seccomp: { defaultAction: "SCMP_ACT_LOG", architectures: ["x86"] } },
    "InvalidArgument",
    "linux.seccomp.architectures[0]: expected SCMP_ARCH_<architecture>",
  ),
  ...(
    [
      [{ memory: { limit: "64m" } }, "memory.limit: expected an integer, got string"],
      [{ memory: { limit: -5 } }, "memory.limit: expected a number of bytes, or -1 for no limit, got -5"],
      [{ cpu: { quota: 1 } }, "cpu.quota: expected at least 1000 microseconds, -1 for no limit, or 0 for unset, got 1"],
      [{ cpu: { period: 5 } }, "cpu.period: expected 1000 to 1000000 microseconds, got 5"],
      [{ cpu: { shares: -1 } }, "cpu.shares: expected an integer of at least 0, got -1"],
      [{ pids: { limit: "x" } }, "pids.limit: expected an integer, got string"],
      [{ devices: [{ allow: true, type: "z" }] }, 'devices[0].type: expected "" or "a" or "b"'],
    ] as const
  ).map(([resources, message]) => wrongLinux({ resources }, "InvalidArgument", `linux.resources.${message}`)),
  wrongMount({ type: "tmpfs" }, "InvalidArgument", ".destination: expected a string, got nothing"),
  wrongMount(
    { destination: "/x", type: "tmpfs", options: "ro" },
    "InvalidArgument",
    '.options: expected a list, got "ro"',
  ),
  wrongMount(bind("/x", "etc"), "InvalidArgument", '.source: "etc" is not an absolute path on the host'),
  wrongMount(bind("/x", "\\\\.\\pipe\\x"), "InvalidArgument", "is a named pipe, which Linux containers cannot use"),
  wrongMount(bind("/x", "uvm://x"), "InvalidArgument", "expected uvm://<absolute path of the guest>"),
  wrongMount(
    bind("blockdev:///x", "/etc"),
    "InvalidArgument",
    "is for disks only, expected a mount of type virtual-disk",
  ),
  wrongMount(
    { destination: "/x", type: "virtual-disk", source: "/etc" },
    "InvalidArgument",
    "/etc is a directory, expected the file of a virtual disk",
  ),
  wrongMount(
    { destination: "/x", type: "virtual-disk", source: "/etc/passwd" },
    "InvalidArgument",
    "/etc/passwd at controller 0 LUN 0: GCS modifySettings",
  ),
  wrongProcess({ args: ["a\0b"] }, "InvalidArgument", "process.args[0]: expected text without NUL"),
  wrongProcess({ env: "A=b" }, "InvalidArgument", "process.env: expected a list, got a string of 3 characters"),
  wrongProcess({ cwd: undefined }, "InvalidArgument", "process.cwd: expected a string, got nothing"),
  wrongProcess(
    { rlimits: [{ type: "RLIMIT_NONE", hard: 1, soft: 1 }] },
    "InvalidArgument",
    'process.rlimits[0].type: expected "RLIMIT_AS" or',
  ),
  wrongProcess(
    { rlimits: [{ type: "RLIMIT_NOFILE", hard: 1, soft: 2 }] },
    "InvalidArgument",
    "process.rlimits[0]: expected a soft limit of at most the hard limit",
  ),
  wrongProcess(
    { user: { uid: 0, gid: 0, additionalGids: [-1] } },
    "InvalidArgument",
    "process.user.additionalGids[0]: expected an integer from 0 to 4294967295, got -1",
  ),
];

const PORTS = "net.ipv4.ip_unprivileged_port_start";

/** What only the guest can know. */
export const WRONG_IN_GUEST: readonly Wrong[] = [
  wrongProcess({ args: ["no-such-program"] }, "InvalidArgument", 'process.args[0] "no-such-program"'),
  wrongProcess({ args: ["/etc"] }, "InvalidArgument", 'process.args[0] "/etc"'),
  wrongProcess({ args: ["/etc/passwd"] }, "InvalidArgument", 'process.args[0] "/etc/passwd"'),
  wrongProcess({ cwd: "/etc/passwd" }, "InvalidArgument", 'process.cwd "/etc/passwd"'),
  wrongProcess(
    { user: { uid: 0, gid: 0, username: "nobody-here" } },
    "InvalidArgument",
    'the container\'s /etc/passwd has no user "nobody-here"',
  ),
  ...(
    [
      ["a:b:c", '"a:b:c": expected <user> or <user>:<group>'],
      ["root:nobody-here", 'the container\'s /etc/group has no group "nobody-here"'],
      ["99999999999", "99999999999 is not a user id, expected 0 to 4294967295"],
    ] as const
  ).map(([username, message]) => wrongProcess({ user: { uid: 0, gid: 0, username } }, "InvalidArgument", message)),
  ...(
    [
      ["net.ipv4.nothing", "1", 'linux.sysctl {"net.ipv4.nothing":"1"}: '],
      [PORTS, "many", `linux.sysctl {"${PORTS}":"many"}: `],
      ["kernel.nothing", "1", 'linux.sysctl {"kernel.nothing":"1"}: '],
    ] as const
  ).map(([name, value, message]) => wrongLinux({ sysctl: { [name]: value } }, "InvalidArgument", message)),
  wrongLinux({ resources: { cpu: { cpus: "99" } } }, "InvalidArgument", 'linux.resources.cpu.cpus "99"'),
  wrongLinux({ resources: { memory: { limit: 1 } } }, "InvalidArgument", "linux.resources.memory.limit 1:"),
  wrongLinux(
    { seccomp: { defaultAction: "SCMP_ACT_ALLOW", architectures: ["SCMP_ARCH_NONE"] } },
    "InvalidArgument",
    "linux.seccomp: ",
  ),
  wrongMount(
    { destination: "/x", type: "tmpfs", options: ["size=lots"] },
    "InvalidArgument",
    "mounts: create: mount `tmpfs`",
  ),
];
