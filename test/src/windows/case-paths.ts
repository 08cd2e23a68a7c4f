/** What the cases, which run under Wine, are told of the machine; paths as they are called there. */
export interface CasePaths {
  /** The folder of the shims' executables. */
  readonly executables: string;
  /** For everything that the cases make. */
  readonly directory: string;
}

export const casePathsVariable = "UVM_SHIM_CASE_PATHS";

export function casePaths(): CasePaths {
  return JSON.parse(process.env[casePathsVariable] ?? "{}");
}
