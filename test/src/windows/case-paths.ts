/** What the cases, which run under Wine, know of the machine; paths have the form that programs there use. */
export interface CasePaths {
  /** The folder of the shims' executables. */
  readonly executables: string;
  /** For everything that the cases make. */
  readonly directory: string;
  /** For cases that run pods. */
  readonly pods?: PodPaths;
}

export interface PodPaths {
  /** Folder of the test host's DLLs. */
  readonly libraries: string;
  /** A computecore.dll that ends the process which uses it. */
  readonly failingCore: string;
  readonly bootFiles: string;
  /** Folder of a layer's disk, which is a root file system. */
  readonly layer: string;
  /** A file that stands in the root file system too; hashing its bytes together takes long under Wine. */
  readonly pattern: string;
  /** An empty scratch disk, to be copied. */
  readonly scratchDisk: string;
  /** Folders of a Windows container's layers, the topmost first. */
  readonly windowsLayers: readonly string[];
  /** Where the Linux machine tells what is left over: an address of HTTP. */
  readonly linuxSide: string;
}

export const casePathsVariable = "UVM_SHIM_CASE_PATHS";

export function casePaths(): CasePaths {
  return JSON.parse(process.env[casePathsVariable] ?? "{}");
}

export function podPaths(): PodPaths {
  const { pods } = casePaths();
  if (pods === undefined)
    throw new Error("the environment names no pod paths: run these cases with `npm run e2e:windows`");
  return pods;
}
