import { fileURLToPath } from "node:url";

/** A module that is loaded into a shipped program with `--require`, and makes its calls fail one by one. */
export const failingCallsModule = fileURLToPath(new URL("./failing-calls.cjs", import.meta.url));

/** The environment variable with the path of the socket on which the module is controlled. */
export const failingCallsSocketVariable = "UVM_SHIM_TEST_FAILING_SOCKET";
