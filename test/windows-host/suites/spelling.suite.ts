/** Run under Wine: the contract of hosts, where the services spell the names of their answers in another case. */
import { mkdirSync } from "node:fs";
import { win32 } from "node:path";
import { afterAll, beforeAll, describe } from "vitest";
import { allSpellings } from "../../../packages/hcs-bindings/src/testing/respelling.ts";
import { controls, paths, system } from "./system-under-test.ts";
import { assignableDevice } from "./test-host-paths.ts";
import { describeWindowsContract, describeWindowsNetworkContract } from "./windows-contract.ts";

for (const spelling of allSpellings) {
  describe(`answers in ${spelling} case`, () => {
    beforeAll(async () => {
      mkdirSync(win32.join(paths.files, spelling));
      await controls.configure({ spelling });
    });
    afterAll(() => controls.configure({}));
    const on = {
      openHost: () => system.openHost(),
      files: win32.join(paths.files, spelling),
      boot: paths.boot,
      assignableDevice,
      loseService: () => controls.configure({ loseService: true, spelling }),
    };
    // All of it once; what differs most with the case of names in every case.
    if (spelling === "swapped") describeWindowsContract("Windows driver and test host", on);
    else describeWindowsNetworkContract("Windows driver and test host", on);
  });
}
