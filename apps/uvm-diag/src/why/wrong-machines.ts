import { socketProof } from "./evidence.ts";
import { type FailureCause, failedRequest, shortened } from "./failed-requests.ts";

/** What a machine or its VM lacks for a request, the special before the general. */
export const wrongMachines: readonly FailureCause[] = [
  failedRequest({
    code: "boot-files-missing",
    title: "The folder of boot files lacks what the VM boots from.",
    advice:
      "Install the boot files with the shim, or correct BootFilesRootPath or the annotation that names the folder.",
    message: /expected a folder with boot files: (there is no file \S+(?: or \S+)*)/,
    because: ([, what]) => `${what}, which the VM boots from`,
  }),
  failedRequest({
    code: "windows-base-layer",
    title: "The layers of a Windows pod lack a file of the utility VM that it boots.",
    advice:
      "Let containerd unpack the image again: its base layer has the folder UtilityVM. The image has to be one of Windows Server Core or Nano Server.",
    message:
      /rootfs: got \S+, expected layers with a utility VM: (none of them has a folder UtilityVM)|rootfs: got \S+, expected a layer with the scratch disk of a VM: (there is no file \S+)|VirtualSmb\.Shares(?:\[\d+\]\.Path)?: (\S+ does not exist)|BootThis\.DevicePath: (\S+ does not exist in the share "os" \([^)]*\))/,
    because: ([, ...what]) => `its layers have no whole utility VM to boot (${what.find((one) => one) ?? ""})`,
  }),
  failedRequest({
    code: "windows-layers-missing",
    title: "A Windows pod names no layers.",
    advice: "Let containerd hand over the layers of the image (snapshotter windows), or correct windows.layerFolders.",
    message: /(windows\.layerFolders|rootfs): (got (?:nothing|\d+), expected .+)/,
    because: ([, field, rest]) => `it names no layers to boot from (${field}: ${rest})`,
  }),
  failedRequest({
    code: "boot-files-unusable",
    title: "The host cannot boot the kernel or boot manager that it was given.",
    advice: "Use boot files that were made for this host.",
    message:
      /(?:KernelFilePath|DevicePath): (unsupported (?:kernel|boot manager) [^\s:]+)|KernelFilePath: (\S+ does not exist)/,
    because: ([, unsupported, missing]) => `the host cannot boot it (${unsupported ?? missing})`,
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
    message: /connect to host (\S+?): no host listens|HCS_E_SERVICE_NOT_AVAILABLE|cannot load the library/,
    because: ([, socket]) =>
      socket === undefined ? "the host compute service is not there" : `no host service listens on ${socket}`,
    facts: (evidence) => socketProof(evidence, "hostSocket", "now either"),
  }),
  failedRequest({
    code: "namespace-gone",
    title: "The network namespace of the pod does not exist on the host.",
    advice: "Look whether the network plugin (CNI) set the pod's network up, and whether something removed it since.",
    message: /join network namespace (\S+) with|(namespace [0-9a-f-]{36}) does not exist/i,
    because: ([, path, id]) => `its network namespace is gone (${path ?? id})`,
  }),
  failedRequest({
    code: "policy-refused",
    title: "The security policy is not accepted, or forbids the request.",
    advice: "Compare the policy of the pod with what it runs; the guest's message names the rule.",
    message:
      /EncodedSecurityPolicy: (.+)|([^:]*denied (?:by|due to) policy.*)|denied because of the guest's security policy: (.+)/,
    because: ([, ...why]) =>
      `its security policy stands in the way (${shortened(why.find((one) => one) ?? "the guest gives no rule")})`,
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
    facts: ({ input: { facts } }) =>
      facts?.freeBytes === undefined
        ? []
        : [{ text: `${Math.floor(facts.freeBytes / 2 ** 20)} MiB are free now where the bundle is` }],
    because: ([, file]) => `a disk of the host is full${file ? ` (${file})` : ""}`,
  }),
  failedRequest({
    code: "descriptors-exhausted",
    title: "The shim or the host has no file descriptor left.",
    advice: "Raise LimitNOFILE of containerd's service.",
    message: /EMFILE|ENFILE|open file limit|too many open files/i,
    because: () => "the limit of open files (ulimit -n) is reached",
  }),
  failedRequest({
    code: "program-of-machine-missing",
    title: "A program that the host or the guest needs is not installed.",
    advice: "Install the package that has it, or correct PATH in containerd's environment.",
    message:
      /cannot start the program: spawn (\S+) ENOENT|program (\S+) not found: install|(no OCI runtime found)|(the guest's image has no OCI runtime)|(Windows guests need Wine in \S+?):/,
    because: ([, ofShim, ofHost, ...others]) => {
      if (ofShim !== undefined) return `${ofShim} is not installed, or not in the PATH of the shim`;
      return ofHost === undefined
        ? (others.find((one) => one) ?? "")
        : `${ofHost} is not installed, or not in the PATH of the host`;
    },
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
    code: "vm-too-small",
    title: "A container's limit does not fit into the VM, which cannot grow.",
    advice:
      "Remove what fixes the VM's size or make it larger, or give all containers of the pod their limits from the beginning.",
    message: /(its memory limit is .+|its limit of \S+ processors is more than .+)/,
    because: ([, what]) => shortened(what ?? ""),
  }),
];
