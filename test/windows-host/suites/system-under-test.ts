/** What suites under Wine run against: the Windows driver on the DLLs of a test host. */

import { nativeMachine } from "../../../packages/hcs-bindings/src/windows/native/koffi-machine.ts";
import { librariesOf } from "../../../packages/hcs-bindings/src/windows/native/libraries.ts";
import { WindowsSystem } from "../../../packages/hcs-bindings/src/windows/system/windows-system.ts";
import { testHostControls } from "../test-host-controls.ts";
import { type TestHostPaths, testHostVariable } from "./test-host-paths.ts";

export const paths = JSON.parse(process.env[testHostVariable] ?? "{}") as TestHostPaths;
export const system = new WindowsSystem(nativeMachine(), librariesOf(paths.libraries));
export const controls = testHostControls(paths.libraries);
