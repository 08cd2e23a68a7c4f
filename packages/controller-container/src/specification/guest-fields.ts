/**
 * The fields of a specification that the guest is given, as an allow-list. Omitted on purpose: hooks, which run on the
 * host; the cgroup path and the AppArmor and SELinux names, which refer to the host's kernel; and the resources that
 * depend on what is attached to the VM (block I/O, huge pages, RDMA, network).
 */
export type FieldSelection =
  /** A string, number or boolean. */
  | "value"
  /** A list whose items are all selected this way. */
  | readonly [FieldSelection]
  /** An object of which these fields are selected. */
  | { readonly [field: string]: FieldSelection }
  /** A map: its field names are data. */
  | RecordOf;

class RecordOf {
  readonly each: FieldSelection;

  constructor(each: FieldSelection) {
    this.each = each;
  }
}

const values = ["value"] as const;

/** The fields of a process that cross to the guest. */
export const processFields = {
  consoleSize: { height: "value", width: "value" },
  user: { uid: "value", gid: "value", umask: "value", additionalGids: values, username: "value" },
  args: values,
  env: values,
  cwd: "value",
  capabilities: { bounding: values, effective: values, inheritable: values, permitted: values, ambient: values },
  rlimits: [{ type: "value", hard: "value", soft: "value" }],
  noNewPrivileges: "value",
  oomScoreAdj: "value",
} as const satisfies FieldSelection;

/** The fields of a mount that cross to the guest. */
export const mountFields = {
  destination: "value",
  type: "value",
  source: "value",
  options: values,
} as const satisfies FieldSelection;

const idMappings = [{ containerID: "value", hostID: "value", size: "value" }] as const;

/** The fields of `linux` that cross to the guest. */
export const linuxFields = {
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
} as const satisfies FieldSelection;

const throttles = [{ major: "value", minor: "value", rate: "value" }] as const;

/** Resources of an update. They include some that a container is not created with. */
export const resourceFields = {
  ...linuxFields.resources,
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
} as const satisfies FieldSelection;

/** The selected part of a value; undefined when nothing of it is selected. */
export function selectFields<T>(given: T, of: FieldSelection): T {
  return project(given, of) as T;
}

function project(given: unknown, of: FieldSelection): unknown {
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

function isList(of: FieldSelection): of is readonly [FieldSelection] {
  return Array.isArray(of);
}
