export const processSeed = {
  terminal: true,
  consoleSize: { height: 24, width: 80 },
  user: { uid: 0, gid: 0, umask: 18, additionalGids: [1, 2], username: "root" },
  args: ["sh", "-c", "true"],
  env: ["PATH=/bin", "A=b"],
  cwd: "/",
  capabilities: { bounding: ["CAP_KILL"], effective: null },
  rlimits: [{ type: "RLIMIT_NOFILE", hard: 1024, soft: 512 }],
  noNewPrivileges: true,
  oomScoreAdj: 100,
};

export const specificationSeed = {
  ociVersion: "1.1.0",
  hostname: "pod",
  process: processSeed,
  root: { path: "rootfs", readonly: true },
  mounts: [
    { destination: "/proc", type: "proc", source: "proc", options: ["nosuid"] },
    { destination: "/data", type: "bind", source: "/srv", options: ["rbind", "ro"] },
  ],
  annotations: { "io.kubernetes.cri.container-type": "container", "io.kubernetes.cri.sandbox-id": "pod" },
  linux: {
    resources: {
      memory: { limit: 67108864, swap: -1 },
      cpu: { shares: 512, quota: 50000, period: 100000, cpus: "0-1" },
      pids: { limit: 5 },
      devices: [{ allow: false, access: "rwm", type: "c", major: 1, minor: 3 }],
      hugepageLimits: [{ pageSize: "2MB", limit: 4096 }],
      unified: { "memory.high": "1" },
    },
    cgroupsPath: "/pods/c",
    namespaces: [{ type: "pid" }, { type: "network", path: "/proc/1/ns/net" }],
    devices: [{ path: "/dev/null", type: "c", major: 1, minor: 3 }],
    seccomp: {
      defaultAction: "SCMP_ACT_ERRNO",
      architectures: ["SCMP_ARCH_X86_64"],
      syscalls: [{ names: ["read"], action: "SCMP_ACT_ALLOW" }],
    },
    sysctl: { "net.ipv4.ip_forward": "1" },
    maskedPaths: ["/proc/kcore"],
    readonlyPaths: ["/proc/sys"],
    rootfsPropagation: "rslave",
  },
  windows: { layerFolders: ["C:\\l"], devices: [{ id: "x", idType: "class" }], network: { networkNamespace: "n" } },
};

export const windowsSpecificationSeed = {
  ociVersion: "1.1.0",
  hostname: "pod",
  process: { args: ["cmd.exe"], commandLine: "cmd /c dir", cwd: "C:\\", env: ["A=b"], user: { username: "u" } },
  root: { path: "", readonly: false },
  mounts: [{ destination: "C:\\in", source: "C:\\data", type: "", options: ["ro"] }],
  annotations: { "io.kubernetes.cri.container-type": "container", "io.kubernetes.cri.sandbox-id": "pod" },
  windows: {
    layerFolders: ["C:\\layers\\base", "C:\\layers\\scratch"],
    devices: [{ id: "PCIP\\A/1", idType: "vpci" }],
    resources: {
      memory: { limit: 67108864 },
      cpu: { count: 1, shares: 5, maximum: 5000, affinity: [{ mask: 1, group: 0 }] },
      storage: { iops: 5, bps: 6, sandboxSize: 21474836480 },
    },
    credentialSpec: "{}",
    hyperv: { utilityVMPath: "" },
    network: { endpointList: ["e"], allowUnqualifiedDNSQuery: true, DNSSearchList: ["a"], networkNamespace: "n" },
  },
};
