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

/**
 * `linux.resources` of the OCI runtime specification. Parts that no code here looks into are unknown, and passed on.
 */
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

/**
 * Memory limits in bytes, of which -1 means none; `swap` limits memory and swap together, `swappiness` goes from 0 to
 * 100. Source: memory of the OCI runtime specification.
 */
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

/**
 * Processor limits; times are microseconds, `cpus` and `mems` lists such as `0-3,6`. Source: cpu of the OCI runtime
 * specification.
 */
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

/** `windows.resources` of the OCI runtime specification, as far as a running VM or container can follow. */
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

/**
 * `linux.resources` with the bounds of the kernel. Numbers of 64 bits are read as far as a JSON number holds them;
 * errors do not show texts.
 */
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

/** `windows.resources` with the bounds of HCS. Unknown fields are kept, as the specification asks. */
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
