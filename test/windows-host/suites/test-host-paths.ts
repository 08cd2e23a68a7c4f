/** The environment variable in which programs under Wine get a test host's paths, as JSON. */
export const testHostVariable = "UVM_SHIM_TEST_HOST";

/** Set to anything, it has the suites of what is left do all the more. */
export const thoroughVariable = "UVM_SHIM_THOROUGH";

/** As they are called on Windows. */
export interface TestHostPaths {
  /** Folder of the DLLs. */
  readonly libraries: string;
  /** For files of the test's own. */
  readonly files: string;
  readonly boot: { readonly KernelFilePath: string; readonly InitRdPath: string };
}

/** Instance path of a device with two functions, where the test host is started with one. */
export const assignableDevice = "PCIP\\VEN_1234&DEV_5678";
