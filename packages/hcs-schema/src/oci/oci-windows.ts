/** The parts of the OCI runtime specification that a Windows container has. */
import {
  anything,
  type Check,
  integer,
  list,
  openObject,
  optional,
  record,
  SchemaError,
  text,
  textUnshown,
  truth,
  unshown,
} from "../check.ts";

/**
 * The OCI runtime specification of a Windows container, whose fields are all optional here: what is required depends on
 * the caller.
 */
export interface OciWindowsSpec {
  readonly ociVersion?: string;
  readonly hostname?: string;
  readonly process?: OciWindowsProcess;
  readonly root?: { readonly path?: string; readonly readonly?: boolean };
  readonly mounts?: readonly OciWindowsMount[];
  readonly annotations?: { readonly [key: string]: string };
  readonly linux?: unknown;
  readonly windows?: OciWindowsSection;
}

/** `process` of a Windows container: `commandLine` wins over `args`, which are quoted by Windows' rules. */
export interface OciWindowsProcess {
  readonly terminal?: boolean;
  readonly consoleSize?: { readonly height: number; readonly width: number };
  readonly user?: { readonly username?: string };
  readonly args?: readonly string[];
  readonly commandLine?: string;
  readonly env?: readonly string[];
  readonly cwd?: string;
}

/** A folder, file or named pipe of the host for a Windows container, as `mounts` names it. */
export interface OciWindowsMount {
  readonly destination?: string;
  readonly type?: string;
  readonly source?: string;
  readonly options?: readonly string[];
}

/**
 * `windows` of the OCI runtime specification: layers (topmost first, the scratch last), limits and network.
 * `credentialSpec` may hold secrets.
 */
export interface OciWindowsSection {
  readonly layerFolders?: readonly string[];
  readonly devices?: readonly { readonly id: string; readonly idType: string }[];
  readonly resources?: OciWindowsLimits;
  /** The text of a JSON object. */
  readonly credentialSpec?: string;
  readonly servicing?: boolean;
  readonly ignoreFlushesDuringBoot?: boolean;
  readonly hyperv?: { readonly utilityVMPath?: string };
  readonly network?: OciWindowsNetwork;
}

/** Limits of a new container. Zero means unset. */
export interface OciWindowsLimits {
  /** Bytes. */
  readonly memory?: { readonly limit?: number | bigint };
  readonly cpu?: {
    readonly count?: number;
    /** Up to 10000. */
    readonly shares?: number;
    /** Ten-thousandths of the processors. */
    readonly maximum?: number;
    readonly affinity?: readonly unknown[];
  };
  readonly storage?: {
    readonly iops?: number;
    /** Bytes in a second. */
    readonly bps?: number;
    readonly sandboxSize?: number | bigint;
  };
}

/** `windows.network`: the HCN namespace or endpoints of a container, and its name resolution. */
export interface OciWindowsNetwork {
  readonly endpointList?: readonly string[];
  readonly allowUnqualifiedDNSQuery?: boolean;
  readonly DNSSearchList?: readonly string[];
  readonly networkSharedContainerName?: string;
  readonly networkNamespace?: string;
}

/** 64 bits, which a double cannot hold exactly: a reader that keeps such numbers whole gives a bigint. */
const bytes: Check<number | bigint> = (value, path = "") => {
  const isWhole = typeof value === "bigint" || (typeof value === "number" && Number.isInteger(value));
  if (!isWhole || value < 0 || value >= 2n ** 64n) {
    const given = typeof value === "number" || typeof value === "bigint" ? `${value}` : typeof value;
    throw new SchemaError(path, `expected a number of bytes, got ${given}`);
  }
  return value;
};

const greatestOfHost = 2 ** 31 - 1;
const tenThousandths = integer(0, 10_000);

const limits: Check<OciWindowsLimits> = openObject<OciWindowsLimits>({
  memory: optional(openObject<{ readonly limit?: number | bigint }>({ limit: optional(bytes) })),
  cpu: optional(
    openObject<NonNullable<OciWindowsLimits["cpu"]>>({
      count: optional(integer(0, greatestOfHost)),
      shares: optional(tenThousandths),
      maximum: optional(tenThousandths),
      affinity: optional(list(anything)),
    }),
  ),
  storage: optional(
    openObject<NonNullable<OciWindowsLimits["storage"]>>({
      iops: optional(integer(0, greatestOfHost)),
      bps: optional(integer(0, greatestOfHost)),
      sandboxSize: optional(bytes),
    }),
  ),
});

const consoleSide = integer(0, 0xffff);

const processFields = openObject<OciWindowsProcess>({
  terminal: optional(truth),
  consoleSize: optional(
    openObject<{ readonly height: number; readonly width: number }>({ height: consoleSide, width: consoleSide }),
  ),
  user: optional(textUnshown(openObject<{ readonly username?: string }>({ username: optional(text) }))),
  args: optional(unshown(list(text))),
  commandLine: optional(text),
  env: optional(unshown(list(text))),
  cwd: optional(text),
});

/** `process` of a Windows container. Arguments, environment and user may hold secrets: errors do not show them. */
export const checkOciWindowsProcess: Check<OciWindowsProcess> = textUnshown(processFields);

/**
 * The OCI runtime specification of a Windows container, as config.json has it. Unknown fields are kept, as the
 * specification asks.
 */
export const checkOciWindowsSpec: Check<OciWindowsSpec> = openObject<OciWindowsSpec>({
  ociVersion: optional(text),
  hostname: optional(text),
  process: optional(checkOciWindowsProcess),
  root: optional(openObject<NonNullable<OciWindowsSpec["root"]>>({ path: optional(text), readonly: optional(truth) })),
  mounts: optional(
    list(
      openObject<OciWindowsMount>({
        destination: optional(text),
        type: optional(text),
        source: optional(text),
        options: optional(list(text)),
      }),
    ),
  ),
  annotations: optional(unshown(record(text))),
  linux: optional(anything),
  windows: optional(
    openObject<OciWindowsSection>({
      layerFolders: optional(list(text)),
      devices: optional(list(openObject<{ readonly id: string; readonly idType: string }>({ id: text, idType: text }))),
      resources: optional(limits),
      credentialSpec: optional(unshown(text)),
      servicing: optional(truth),
      ignoreFlushesDuringBoot: optional(truth),
      hyperv: optional(openObject<{ readonly utilityVMPath?: string }>({ utilityVMPath: optional(text) })),
      network: optional(
        openObject<OciWindowsNetwork>({
          endpointList: optional(list(text)),
          allowUnqualifiedDNSQuery: optional(truth),
          DNSSearchList: optional(list(text)),
          networkSharedContainerName: optional(text),
          networkNamespace: optional(text),
        }),
      ),
    }),
  ),
});
