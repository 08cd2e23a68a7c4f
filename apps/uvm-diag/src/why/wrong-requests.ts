import { type FailureCause, failedRequest } from "./failed-requests.ts";

/** What a client or a machine gave a request that cannot be done, the special before the general. */
export const wrongRequests: readonly FailureCause[] = [
  failedRequest({
    code: "boot-files-missing",
    title: "The folder of boot files lacks what the VM boots from.",
    advice:
      "Install the boot files with the shim, or correct BootFilesRootPath or the annotation that names the folder.",
    message: /expected a folder with boot files: (there is no file \S+(?: or \S+)*)/,
    because: ([, what]) => `${what}, which the VM boots from`,
  }),
  failedRequest({
    code: "windows-layers-missing",
    title: "A Windows pod names no layers with a utility VM to boot.",
    advice: "Let containerd hand over the layers of the image (snapshotter windows), or correct windows.layerFolders.",
    message: /(windows\.layerFolders|rootfs): (got .+)/,
    because: ([, field, rest]) => `it names no layers to boot from (${field}: ${rest})`,
  }),
  failedRequest({
    code: "boot-files-unusable",
    title: "The host cannot boot the kernel that it was given.",
    advice: "Use boot files that were made for this host.",
    message: /KernelFilePath: (unsupported kernel [^\s:]+|\S+ does not exist)/,
    because: ([, kernel]) => `the host cannot boot it (${kernel})`,
  }),
  failedRequest({
    code: "host-forbidden",
    title: "UVM_SHIM_HOST=none: the shim may use no emulated host, and there is no other.",
    advice: "Unset UVM_SHIM_HOST in containerd's environment, or run on a machine with Hyper-V.",
    message: /UVM_SHIM_HOST=none forbids an emulated host/,
    because: () => "this machine has no host compute service, and UVM_SHIM_HOST=none forbids the emulated one",
  }),
  failedRequest({
    code: "host-service-absent",
    title: "Nothing serves the socket or the libraries of the host compute service.",
    advice: "Start the host service, or correct UVM_SHIM_HOST in containerd's environment.",
    message: /connect to host (\S+?): no host listens|HCS_E_SERVICE_NOT_AVAILABLE|cannot load (\S+\.dll)/i,
    because: ([, socket, library]) =>
      socket === undefined
        ? `the host compute service is not there${library === undefined ? "" : ` (${library})`}`
        : `no host service listens on ${socket}`,
    facts: ({ input: { facts } }) =>
      facts?.hostSocket === undefined
        ? []
        : [
            {
              text: `${facts.hostSocket.path} ${facts.hostSocket.accepts ? "accepts connections now" : "accepts no connections now either"}`,
            },
          ],
  }),
  failedRequest({
    code: "namespace-gone",
    title: "The network namespace of the pod does not exist on the host.",
    advice: "Look whether the network plugin (CNI) set the pod's network up, and whether something removed it since.",
    message: /join network namespace (\S+) with|(namespace [0-9a-f-]{36}) does not exist|HCN_E_NAMESPACE_NOT_FOUND/i,
    because: ([, path, id]) => `its network namespace is gone (${path ?? id ?? "HCN does not know it"})`,
  }),
  failedRequest({
    code: "policy-refused",
    title: "The security policy is not accepted, or forbids the request.",
    advice: "Compare the policy of the pod with what it runs; the guest's message names the rule.",
    message: /EncodedSecurityPolicy: (.+)|denied by policy(.*)|policy does not (allow.*)/i,
    because: ([, ...why]) =>
      `its security policy stands in the way (${shortened(why.find((one) => one) ?? "the guest gives no rule")})`,
  }),
  failedRequest({
    code: "foreign-architecture",
    title: "A program of the image was built for another processor.",
    advice: "Use an image for the machine's architecture, or one with several.",
    message: /(\S+) was built for ([^,]+), the architecture of this guest is ([^:\s]+)|exec format error/i,
    because: ([, program, built, own]) =>
      program === undefined
        ? "its program was built for another processor"
        : `${program} was built for ${built}, and this is ${own}`,
  }),
  failedRequest({
    code: "user-not-in-image",
    title: "The user or group that is to run the program is not in the image.",
    advice: "Correct the user of the container, or add it to the image.",
    message: /the container's (\S+) has no (user|group) "([^"]*)"/,
    because: ([, file, kind, name]) => `its image has no ${kind} "${name}" (${file})`,
  }),
  failedRequest({
    code: "program-not-executable",
    title: "The program that a container is to run may not be executed.",
    advice: "Set the file's permissions in the image, or name a program.",
    message: /process\.args\[0\] "([^"]*)".*Permission denied/,
    because: ([, program]) => `${program} in its image is no executable program`,
  }),
  failedRequest({
    code: "program-not-found",
    title: "The program that a container is to run is not in its image.",
    advice: "Correct the command, or the PATH of the container.",
    message:
      /process\.args\[0\] "([^"]*)".*(?:not found|No such file)|the program ("?[^":]+"?) was not found|ERROR_FILE_NOT_FOUND.*CommandLine/,
    because: ([, program, other]) => `the program "${program ?? other}" is not in its image`,
  }),
  failedRequest({
    code: "working-directory",
    title: "The working directory of a process is none.",
    advice: "Correct the working directory of the container.",
    message: /process\.cwd "([^"]*)".*: ([^:]+): E_/,
    because: ([, folder, why]) => `it cannot work in ${folder} (${why})`,
  }),
  failedRequest({
    code: "mount-source-missing",
    title: "What a mount of the container names does not exist on the host.",
    advice: "Make the folder, file or volume that the mount names, or correct the mount.",
    message: /mounts\[\d+\]\.source: (\S+) does not exist on the host/,
    because: ([, source]) => `${source}, which it mounts, does not exist on the host`,
  }),
  failedRequest({
    code: "disk-missing",
    title: "A disk of the container (a layer or its scratch) does not exist.",
    advice: "Let containerd unpack the image again; look whether its snapshots were removed.",
    message: /rootfs: ((?:scratch disk|layer|\w+ image) \S+) (?:does not exist|is missing)/,
    because: ([, disk]) => `${disk} does not exist`,
  }),
  failedRequest({
    code: "disk-without-file-system",
    title: "A disk is not what it should be: no virtual disk, or without a file system.",
    advice: "Let containerd unpack the image again; the file may be cut short.",
    message: /map disk \S+ (\S+) at .*holds no file system, expected (\w+)/,
    because: ([, disk, system]) => `a disk of it is no virtual disk with ${system} (${disk})`,
  }),
  failedRequest({
    code: "disk-forbidden",
    title: "The host may not open a disk for the VM.",
    advice: "Look at the permissions and the file system of the file; the VM's account needs access.",
    message:
      /grant access to (\S+) to compute system [^:]+: (.+)|Attachments\/\d+ of compute system [^:]+: (E(?:ROFS|ACCES|PERM): [^']*), open '([^']+)'/,
    because: ([, asked, refusal, error, opened]) =>
      `the host may not open ${asked ?? opened} for the VM (${shortened(refusal ?? error ?? "")})`,
  }),
  failedRequest({
    code: "disk-slots-exhausted",
    title: "The VM has no place for a further disk.",
    advice: "Run fewer containers with disks in one pod, or give its VM more SCSI controllers.",
    message: /every SCSI slot of the VM is in use: (.+)/,
    because: ([, what]) => `its VM has no place for a further disk (${what})`,
  }),
  failedRequest({
    code: "scratch-full",
    title: "The scratch disk of the pod is full.",
    advice: "Delete what the containers wrote, or give the pod a larger scratch disk.",
    message: /No space left on device|ENOSPC|ERROR_DISK_FULL/i,
    origin: ({ origin }) => origin.began.kind === "guest-request",
    because: () => "its scratch disk is full (no space left on device, says the guest)",
  }),
  failedRequest({
    code: "host-disk-full",
    title: "A file system of the host is full.",
    advice: "Free space on the host where containerd keeps bundles and snapshots.",
    message: /ENOSPC[^']*'?([^']*)/,
    origin: ({ origin }) => origin.began.kind !== "guest-request",
    because: ([, file]) => `a disk of the host is full${file ? ` (${file})` : ""}`,
  }),
  failedRequest({
    code: "descriptors-exhausted",
    title: "The shim or the host has no file descriptor left.",
    advice: "Raise LimitNOFILE of containerd's service.",
    message: /EMFILE|ENFILE|descriptors are left|too many open files/i,
    because: () => "the limit of open files (ulimit -n) is reached",
  }),
  failedRequest({
    code: "program-of-machine-missing",
    title: "A program that the host or the guest needs is not installed.",
    advice: "Install the package that has it, or correct PATH in containerd's environment.",
    message:
      /cannot start the program: spawn (\S+) ENOENT|no OCI runtime[^:]*|(crun|runc)[^:]*(?:not found|ENOENT|is not installed)/i,
    because: ([what, program]) =>
      program === undefined ? what : `${program} is not installed, or not in the PATH of the shim`,
  }),
  failedRequest({
    code: "client-stdio",
    title: "A pipe or file for the output of a process cannot be opened.",
    advice: "The client (containerd, ctr or a logging program) made no such file, or it is gone: look at its log.",
    message: /(std(?:in|out|err)) (\S+) (?:cannot be opened: (\w+)|is not a FIFO)/,
    because: ([, stream, file, why]) => `its ${stream} ${file} cannot be opened${why === undefined ? "" : ` (${why})`}`,
  }),
  failedRequest({
    code: "sandbox-ended",
    title: "A container was to join a pod that has ended.",
    advice: "Look why the pod's sandbox container or VM ended; the client has to make a new pod.",
    message:
      /its sandbox container has ended|its guest is gone, and its VM is ending|sandbox \S+ is stopped, not running|the pod is stopped/,
    because: () => "the pod has ended and takes no more containers",
  }),
  failedRequest({
    code: "device-unassignable",
    title: "A device cannot be assigned to the VM.",
    advice: "Look whether the device exists on the host and is free, and whether the VM's kernel has PCI.",
    message: /assign devices? to \S+: (.+)|no device (\S+)|VirtualPci[^:]*: (.+)/i,
    because: ([, ...why]) => `a device cannot be assigned (${shortened(why.find((one) => one) ?? "")})`,
  }),
  failedRequest({
    code: "control-group",
    title: "The control group of the pod cannot be used.",
    advice: "Look at the pod's cgroup parent, and whether it exists in every hierarchy of the machine.",
    message: /join cgroup (\S+) with compute system [^:]+: (?:path: )?(.+)/,
    because: ([, group, why]) => `its control group ${group} cannot be used (${shortened(why ?? "")})`,
  }),
  failedRequest({
    code: "machine-limits",
    title: "A limit of the container cannot be had on this machine or in this VM.",
    advice: "Correct the limit, or give the VM what it needs.",
    message: /linux\.resources\.([\w.]+) ?("?[^":]*"?): (.+?)(?:: E_|$)/,
    because: ([, field, value, why]) => `${field} ${value} cannot be applied (${shortened(why ?? "")})`,
  }),
  failedRequest({
    code: "annotation-invalid",
    title: "An annotation of the pod or the container has an invalid value.",
    advice: "Correct the annotation; the message says what is expected. The keys are in docs/reference.md.",
    message: /\b(io\.[a-z0-9.-]+\.[a-zA-Z0-9._-]+)(?::)? (?:got|is) (.+)/,
    because: ([, key, rest]) => `annotation ${key} is invalid: got ${rest}`,
  }),
  failedRequest({
    code: "runtime-option-invalid",
    title: "A runtime option in containerd's configuration is invalid.",
    advice: "Correct the options of this runtime in containerd's config.toml.",
    message: /^(?:.*: )?([a-z]+(?:_[a-z]+)+): (got .+)/,
    because: ([, option, rest]) => `runtime option ${option} is invalid: ${rest}`,
  }),
  failedRequest({
    code: "specification-invalid",
    title: "The container's specification (config.json) is invalid.",
    advice: "Correct what the message names; the client (or a hook of it) wrote config.json.",
    errorCode: /InvalidArgument|FailedPrecondition|Unimplemented|NotFound/,
    message: /config\.json: (.+)|OciSpecification\.(.+?): E_/,
    because: ([, field, other]) => `its specification cannot be carried out: ${shortened(field ?? other ?? "")}`,
  }),
  failedRequest({
    code: "socket-folder-unusable",
    title: "The folder of the shims' sockets cannot be used.",
    advice: "Correct UVM_SHIM_SOCKET_DIRECTORY, or the permissions of the folder.",
    message: /(EACCES|ENOTDIR|EROFS|EPERM)[^']*'([^']*)'/,
    origin: ({ request }) => request.began.name === "start",
    because: ([, why, file]) => `it cannot make its socket ${file} (${why})`,
  }),
  failedRequest({
    code: "shim-did-not-start",
    title: "The shim's serving process ended before it served.",
    advice: "The message has its last words; panic.log in the bundle has all of them.",
    message: /the serving process (.+)/,
    origin: ({ request }) => request.began.name === "start",
    because: ([, why]) => `its serving process ${shortened(why ?? "")}`,
  }),
];

function shortened(text: string): string {
  const sentence = text.replace(/(?:: | \[)?(?:E_|HCS_|ERROR_|HCN_)[A-Z_]+ \(0x[0-9a-f]+\)\]?/g, "").trim();
  return sentence.length <= 300 ? sentence : `${sentence.slice(0, 300)}…`;
}
