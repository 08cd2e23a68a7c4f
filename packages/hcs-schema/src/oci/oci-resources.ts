/** `linux.resources` and `windows.resources` of the OCI runtime specification, as an update of a task carries them. */
import {
  anything,
  type Check,
  integer,
  list,
  openObject,
  optional,
  record,
  refine,
  SchemaError,
  text,
  textUnshown,
  truth,
} from "../check.ts";

export interface OciLinuxResources {
  readonly memory?: OciLinuxMemory;
  readonly cpu?: OciLinuxCpu;
  readonly pids?: { readonly limit?: number };
  readonly blockIO?: unknown;
  readonly hugepageLimits?: readonly unknown[];
  readonly network?: unknown;
  readonly rdma?: unknown;
  readonly unified?: { readonly [file: string]: string };
  readonly devices?: readonly unknown[];
}

export interface OciLinuxMemory {
  /** Bytes; -1: none. */
  readonly limit?: number;
  readonly reservation?: number;
  readonly swap?: number;
  readonly kernel?: number;
  readonly kernelTCP?: number;
  readonly swappiness?: number;
  readonly disableOOMKiller?: boolean;
  readonly useHierarchy?: boolean;
  readonly checkBeforeUpdate?: boolean;
}

export interface OciLinuxCpu {
  /** Relative weight, 2 to 262144; 1024 by default. */
  readonly shares?: number;
  /** Microseconds of processor time per period; -1: no limit; 0: not set. */
  readonly quota?: number;
  readonly burst?: number;
  /** Microseconds; 100000 by default. */
  readonly period?: number;
  readonly realtimeRuntime?: number;
  readonly realtimePeriod?: number;
  readonly cpus?: string;
  readonly mems?: string;
  readonly idle?: number;
}

export interface OciWindowsResources {
  /** Bytes. */
  readonly memory?: { readonly limit?: number };
  readonly cpu?: {
    readonly count?: number;
    /** 1 to 10000, as in HCS. */
    readonly shares?: number;
    /** Ten-thousandths of the processors, 1 to 10000. */
    readonly maximum?: number;
  };
}

// Go writes 64-bit numbers that a double cannot hold exactly, such as the largest one for "no limit".
const signed: Check<number> = (value, path = "") => {
  if (typeof value !== "number" || !Number.isInteger(value) || Math.abs(value) > 2 ** 63) {
    const given = typeof value === "number" ? value : typeof value;
    throw new SchemaError(
      path,
      `expected ${Number.isInteger(value) ? "a 64-bit integer" : "an integer"}, got ${given}`,
    );
  }
  return value;
};

const bytes: Check<number> = refine(signed, "a number of bytes, or -1 for no limit", (value) => value >= -1);

/** The kernel's bounds. Kubernetes writes 0 for a limit that is not set. */
const quota: Check<number> = refine(
  signed,
  "at least 1000 microseconds, -1 for no limit, or 0 for unset",
  (value) => value === -1 || value === 0 || value >= 1000,
);
const period: Check<number> = refine(
  integer(0),
  "1000 to 1000000 microseconds",
  (value) => value === 0 || (value >= 1000 && value <= 1_000_000),
);

/** The kernel's bounds. Out of them, the kernel would take the nearest value, and runc refuses. 0 means not set. */
const shares: Check<number> = refine(
  integer(0),
  "2 to 262144, or 0 for unset",
  (value) => value === 0 || (value >= 2 && value <= 262_144),
);

const swappiness: Check<number> = refine(signed, "0 to 100", (value) => value >= 0 && value <= 100);

// The OCI runtime specification asks readers to ignore unknown fields.
export const checkOciLinuxResources: Check<OciLinuxResources> = textUnshown(
  openObject<OciLinuxResources>({
    memory: optional(
      openObject<OciLinuxMemory>({
        limit: optional(bytes),
        reservation: optional(bytes),
        swap: optional(bytes),
        kernel: optional(signed),
        kernelTCP: optional(signed),
        swappiness: optional(swappiness),
        disableOOMKiller: optional(truth),
        useHierarchy: optional(truth),
        checkBeforeUpdate: optional(truth),
      }),
    ),
    cpu: optional(
      openObject<OciLinuxCpu>({
        shares: optional(shares),
        quota: optional(quota),
        burst: optional(integer(0)),
        period: optional(period),
        realtimeRuntime: optional(signed),
        realtimePeriod: optional(integer(0)),
        cpus: optional(text),
        mems: optional(text),
        idle: optional(signed),
      }),
    ),
    pids: optional(openObject<{ readonly limit?: number }>({ limit: optional(signed) })),
    blockIO: optional(anything),
    hugepageLimits: optional(list(anything)),
    network: optional(anything),
    rdma: optional(anything),
    unified: optional(record(text)),
    devices: optional(list(anything)),
  }),
);

export const checkOciWindowsResources: Check<OciWindowsResources> = textUnshown(
  openObject<OciWindowsResources>({
    memory: optional(openObject<{ readonly limit?: number }>({ limit: optional(integer(1)) })),
    cpu: optional(
      openObject<NonNullable<OciWindowsResources["cpu"]>>({
        count: optional(integer(1)),
        shares: optional(integer(1, 10_000)),
        maximum: optional(integer(1, 10_000)),
      }),
    ),
  }),
);
