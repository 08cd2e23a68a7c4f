/**
 * What of a specification crosses to the guest, as data: every field that does stands here, and what does not stand
 * here stays on the host. Left out on purpose are hooks, which run on the host; the cgroup path, AppArmor and SELinux
 * names, which name things of the host's kernel; and the resources that the guest decides about by what is attached
 * to it (block I/O, huge pages, RDMA, network).
 */
export type Crossing =
  /** A string, number or boolean. */
  | "value"
  /** A list of which each item crosses so. */
  | readonly [Crossing]
  /** An object of which these fields cross. */
  | { readonly [field: string]: Crossing }
  /** An object whose field names are data. */
  | RecordOf;

class RecordOf {
  readonly each: Crossing;

  constructor(each: Crossing) {
    this.each = each;
  }
}

const values = ["value"] as const;

export const processThatCrosses = {
  consoleSize: { height: "value", width: "value" },
  user: { uid: "value", gid: "value", umask: "value", additionalGids: values, username: "value" },
  args: values,
  env: values,
  cwd: "value",
  capabilities: { bounding: values, effective: values, inheritable: values, permitted: values, ambient: values },
  rlimits: [{ type: "value", hard: "value", soft: "value" }],
  noNewPrivileges: "value",
  oomScoreAdj: "value",
} as const satisfies Crossing;

export const mountThatCrosses = {
  destination: "value",
  type: "value",
  source: "value",
  options: values,
} as const satisfies Crossing;

const idMappings = [{ containerID: "value", hostID: "value", size: "value" }] as const;

export const linuxThatCrosses = {
  sysctl: new RecordOf("value"),
  maskedPaths: values,
  readonlyPaths: values,
  rootfsPropagation: "value",
  uidMappings: idMappings,
  gidMappings: idMappings,
  devices: [
    { path: "value", type: "value", major: "value", minor: "value", fileMode: "value", uid: "value", gid: "value" },
  ],
  namespaces: [{ type: "value", path: "value" }],
  seccomp: {
    defaultAction: "value",
    defaultErrnoRet: "value",
    architectures: values,
    flags: values,
    syscalls: [
      {
        names: values,
        action: "value",
        errnoRet: "value",
        args: [{ index: "value", value: "value", valueTwo: "value", op: "value" }],
      },
    ],
  },
  resources: {
    memory: {
      limit: "value",
      reservation: "value",
      swap: "value",
      kernel: "value",
      kernelTCP: "value",
      swappiness: "value",
      disableOOMKiller: "value",
      useHierarchy: "value",
      checkBeforeUpdate: "value",
    },
    cpu: {
      shares: "value",
      quota: "value",
      burst: "value",
      period: "value",
      realtimeRuntime: "value",
      realtimePeriod: "value",
      cpus: "value",
      mems: "value",
      idle: "value",
    },
    pids: { limit: "value" },
    unified: new RecordOf("value"),
  },
} as const satisfies Crossing;

const throttles = [{ major: "value", minor: "value", rate: "value" }] as const;

/** Of an update: what its container was not created with may be given to it later. */
export const resourcesThatCross = {
  ...linuxThatCrosses.resources,
  hugepageLimits: [{ pageSize: "value", limit: "value" }],
  blockIO: {
    weight: "value",
    leafWeight: "value",
    weightDevice: [{ major: "value", minor: "value", weight: "value", leafWeight: "value" }],
    throttleReadBpsDevice: throttles,
    throttleWriteBpsDevice: throttles,
    throttleReadIOPSDevice: throttles,
    throttleWriteIOPSDevice: throttles,
  },
  rdma: new RecordOf({ hcaHandles: "value", hcaObjects: "value" }),
} as const satisfies Crossing;

/** The part of a value that crosses; undefined when nothing of it does. */
export function crossing<T>(given: T, of: Crossing): T {
  return project(given, of) as T;
}

function project(given: unknown, of: Crossing): unknown {
  if (of === "value") return typeof given === "object" ? undefined : given;
  if (isList(of)) {
    if (!Array.isArray(given)) return undefined;
    return given.map((item) => project(item, of[0])).filter((item) => item !== undefined);
  }
  if (typeof given !== "object" || given === null || Array.isArray(given)) return undefined;
  const fields = Object.entries(given).map(([name, item]) => {
    const field = of instanceof RecordOf ? of.each : Object.hasOwn(of, name) ? of[name] : undefined;
    return [name, field === undefined ? undefined : project(item, field)] as const;
  });
  return Object.fromEntries(fields.filter(([, item]) => item !== undefined));
}

function isList(of: Crossing): of is readonly [Crossing] {
  return Array.isArray(of);
}
