/** Run under Wine: the contract suites of hcs-bindings on the Windows driver and the test host's DLLs. */
import { controls, paths, system } from "./system-under-test.ts";
import { assignableDevice } from "./test-host-paths.ts";
import { describeWindowsContract } from "./windows-contract.ts";

describeWindowsContract("Windows driver and test host", {
  openHost: () => system.openHost(),
  files: paths.files,
  boot: paths.boot,
  assignableDevice,
  loseService: () => controls.configure({ loseService: true }),
});
