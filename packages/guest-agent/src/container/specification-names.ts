/**
 * Names of the OCI runtime specification. The real guest decodes a specification with names in any case, and encodes it
 * again for its runtime; the runtimes themselves accept only the exact case.
 */
import { type Names, spelledAs } from "@uvm-shim/hcs-schema";

const hooks: readonly [Names] = [{ path: true, args: true, env: true, timeout: true }];
const idMappings: readonly [Names] = [{ containerID: true, hostID: true, size: true }];
const deviceNumbers = { type: true, major: true, minor: true } as const;
const weights: readonly [Names] = [{ major: true, minor: true, weight: true, leafWeight: true }];
const rates: readonly [Names] = [{ major: true, minor: true, rate: true }];

const resources: Names = {
  devices: [{ allow: true, ...deviceNumbers, access: true }],
  memory: {
    limit: true,
    reservation: true,
    swap: true,
    kernel: true,
    kernelTCP: true,
    swappiness: true,
    disableOOMKiller: true,
    useHierarchy: true,
    checkBeforeUpdate: true,
  },
  cpu: {
    shares: true,
    quota: true,
    burst: true,
    period: true,
    realtimeRuntime: true,
    realtimePeriod: true,
    cpus: true,
    mems: true,
    idle: true,
  },
  pids: { limit: true },
  blockIO: {
    weight: true,
    leafWeight: true,
    weightDevice: weights,
    throttleReadBpsDevice: rates,
    throttleWriteBpsDevice: rates,
    throttleReadIOPSDevice: rates,
    throttleWriteIOPSDevice: rates,
  },
  hugepageLimits: [{ pageSize: true, limit: true }],
  network: { classID: true, priorities: [{ name: true, priority: true }] },
  rdma: true,
  unified: true,
};

const process: Names = {
  terminal: true,
  consoleSize: { height: true, width: true },
  user: { uid: true, gid: true, umask: true, additionalGids: true, username: true },
  args: true,
  commandLine: true,
  env: true,
  cwd: true,
  capabilities: { bounding: true, effective: true, inheritable: true, permitted: true, ambient: true },
  rlimits: [{ type: true, hard: true, soft: true }],
  noNewPrivileges: true,
  apparmorProfile: true,
  oomScoreAdj: true,
  scheduler: true,
  selinuxLabel: true,
  ioPriority: { class: true, priority: true },
};

const specification: Names = {
  ociVersion: true,
  process,
  root: { path: true, readonly: true },
  hostname: true,
  domainname: true,
  mounts: [
    {
      destination: true,
      type: true,
      source: true,
      options: true,
      uidMappings: idMappings,
      gidMappings: idMappings,
    },
  ],
  hooks: {
    prestart: hooks,
    createRuntime: hooks,
    createContainer: hooks,
    startContainer: hooks,
    poststart: hooks,
    poststop: hooks,
  },
  annotations: true,
  linux: {
    uidMappings: idMappings,
    gidMappings: idMappings,
    sysctl: true,
    resources,
    cgroupsPath: true,
    namespaces: [{ type: true, path: true }],
    devices: [{ path: true, ...deviceNumbers, fileMode: true, uid: true, gid: true }],
    seccomp: {
      defaultAction: true,
      defaultErrnoRet: true,
      architectures: true,
      flags: true,
      listenerPath: true,
      listenerMetadata: true,
      syscalls: [
        {
          names: true,
          action: true,
          errnoRet: true,
          args: [{ index: true, value: true, valueTwo: true, op: true }],
        },
      ],
    },
    rootfsPropagation: true,
    maskedPaths: true,
    readonlyPaths: true,
    mountLabel: true,
    intelRdt: true,
    personality: { domain: true, flags: true },
    timeOffsets: true,
  },
  windows: {
    layerFolders: true,
    devices: [{ id: true, idType: true }],
    network: { networkNamespace: true },
  },
};

/** A specification with the names of its fields as the runtime spells them: the host may write them in any case. */
export const spelledSpecification = (value: unknown): unknown => spelledAs(specification, value);
/** The same for a process. */
export const spelledProcess = (value: unknown): unknown => spelledAs(process, value);
/** The same for resources. */
export const spelledResources = (value: unknown): unknown => spelledAs(resources, value);
