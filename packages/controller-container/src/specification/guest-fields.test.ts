import { describe, expect, it } from "vitest";
import { ContainerBench, noStdio, specification } from "../testing/index.ts";

/** Marks a value by the path of its field, which shows where a value in the guest came from. */
const mark = "canary:";

/** Values of fields that accept no others, and therefore no mark. */
const closed = {
  hostname: "canary-of-the-name",
  rlimit: "RLIMIT_NOFILE",
  defaultAction: "SCMP_ACT_LOG",
  action: "SCMP_ACT_TRACE",
  architecture: "SCMP_ARCH_S390X",
  propagation: "rslave",
};

/** Fills a template: each empty string becomes a mark, each 0 stays, and each object gets an unknown field. */
function withMarks(template: unknown, path = ""): unknown {
  if (template === "") return `${mark}${path}`;
  if (Array.isArray(template)) return template.map((item: unknown) => withMarks(item, `${path}[]`));
  if (typeof template !== "object" || template === null) return template;
  const entries = Object.entries(template).map(([name, item]) => [name, withMarks(item, `${path}.${name}`)]);
  // Sets of capabilities are lists, whatever their names; the template has an unknown one.
  if (path.endsWith(".capabilities")) return Object.fromEntries(entries);
  return { ...Object.fromEntries(entries), unknownField: `${mark}${path}.unknownField` };
}

function marksIn(value: unknown): readonly string[] {
  const found = JSON.stringify(value).matchAll(/canary:([^"]+)/g);
  return [...new Set([...found].map((match) => match[1] as string))].sort();
}

const capabilitySets = { bounding: [""], effective: [""], inheritable: [""], permitted: [""], ambient: [""] };

const processTemplate = {
  user: { uid: 1, gid: 1, username: "", additionalGids: [1] },
  args: [""],
  commandLine: "",
  env: [""],
  cwd: "/",
  capabilities: { ...capabilitySets, imagined: [""] },
  rlimits: [{ type: closed.rlimit, hard: 1, soft: 1 }],
  apparmorProfile: "",
  selinuxLabel: "",
  scheduler: { policy: "" },
  ioPriority: { class: "" },
  execCPUAffinity: { initial: "", final: "" },
};

/** Every field of the OCI runtime specification that holds text. */
const template = {
  ociVersion: "",
  hostname: closed.hostname,
  domainname: "",
  process: processTemplate,
  root: { path: "rootfs" },
  mounts: [
    { destination: "/run", type: "tmpfs", source: "", options: [""], uidMappings: [{ containerID: 1 }] },
    { destination: "/data", type: "bind", source: "/data", options: [""] },
  ],
  annotations: { "com.example": "", "io.microsoft.virtualmachine.computetopology.memory.sizeinmb": "" },
  hooks: { prestart: [{ path: "", args: [""], env: [""] }], poststop: [{ path: "" }] },
  linux: {
    uidMappings: [{ containerID: 1, hostID: 1, size: 1 }],
    gidMappings: [{ containerID: 1, hostID: 1, size: 1 }],
    sysctl: { "kernel.x": "" },
    resources: {
      devices: [{ allow: false, type: "a" }],
      memory: { limit: 1 },
      cpu: { cpus: "", mems: "" },
      pids: { limit: 1 },
      blockIO: { weightDevice: [{ major: 1 }] },
      hugepageLimits: [{ pageSize: "" }],
      network: { priorities: [{ name: "" }] },
      rdma: { mlx: {} },
      unified: { "memory.high": "" },
    },
    cgroupsPath: "",
    namespaces: [{ type: "uts" }, { type: "pid" }, { type: "ipc", path: "/proc/1/ns/ipc" }],
    devices: [{ path: "", type: "", major: 1, minor: 1 }],
    netDevices: { eth0: { name: "" } },
    seccomp: {
      defaultAction: closed.defaultAction,
      architectures: [closed.architecture],
      flags: [""],
      listenerPath: "",
      listenerMetadata: "",
      syscalls: [{ names: [""], action: closed.action, args: [{ index: 1, value: 1, op: "" }] }],
    },
    rootfsPropagation: closed.propagation,
    maskedPaths: [""],
    readonlyPaths: [""],
    mountLabel: "",
    intelRdt: { closID: "", l3CacheSchema: "" },
    personality: { domain: "", flags: [""] },
    timeOffsets: { monotonic: { secs: 1 } },
  },
  windows: {
    layerFolders: [],
    devices: [],
    servicing: true,
    credentialSpec: "",
    hyperv: { utilityVMPath: "" },
    network: { networkNamespace: "", DNSSearchList: [""], endpointList: [""], networkSharedContainerName: "" },
  },
  solaris: { milestone: "" },
  vm: { kernel: { path: "" }, hypervisor: { path: "" } },
  zos: { namespaces: [{ path: "" }] },
};

const processFields = [
  ".args[]",
  ...Object.keys(capabilitySets).map((set) => `.capabilities.${set}[]`),
  ".env[]",
  ".user.username",
];

describe("the fields that cross to the guest", () => {
  it("are exactly these of a container's specification", async () => {
    const bench = await new ContainerBench().created([], withMarks(template));
    const expected = [
      ...processFields.map((field) => `.process${field}`),
      ".domainname",
      ".linux.devices[].path",
      ".linux.devices[].type",
      ".linux.maskedPaths[]",
      ".linux.readonlyPaths[]",
      ".linux.resources.cpu.cpus",
      ".linux.resources.cpu.mems",
      ".linux.resources.unified.memory.high",
      // Names of control files are data, so an unknown field looks like one.
      ".linux.resources.unified.unknownField",
      ".linux.seccomp.flags[]",
      ".linux.seccomp.syscalls[].args[].op",
      ".linux.seccomp.syscalls[].names[]",
      ".linux.sysctl.kernel.x",
      ".linux.sysctl.unknownField",
      ".mounts[].options[]",
      ".windows.network.networkNamespace",
    ];
    expect(marksIn(bench.guest.settings)).toEqual(expected.sort());
    const crossed = JSON.stringify(bench.guest.settings);
    for (const value of Object.values(closed)) expect(crossed).toContain(value);
  });

  it("contain no path of the host", async () => {
    const mounts = [
      { destination: "/data", type: "bind", source: "/data" },
      { destination: "/etc/resolv.conf", type: "bind", source: "/etc/resolv.conf" },
      { destination: "/disk", type: "virtual-disk", source: "/images/7.img" },
      { destination: "/t", type: "tmpfs", source: "/bundle/name" },
    ];
    const bench = await new ContainerBench().created([], specification({ mounts }));
    const crossed = JSON.stringify([bench.guest.settings, bench.guest.combinations]);
    for (const path of ["/bundle", '"/data"}', '"/etc/resolv.conf"}', "/run/resolved", "/images", "/default/c1"]) {
      expect(crossed).not.toContain(path);
    }
  });

  it("are the same for an exec's process as for the first process", async () => {
    const bench = await new ContainerBench().running();
    const exec = await bench.controller.createProcess({
      execId: "e",
      spec: withMarks(processTemplate),
      stdio: noStdio,
    });
    await exec.start();
    expect(marksIn(bench.guestContainer.executions.at(-1))).toEqual([...processFields].sort());
  });
});
