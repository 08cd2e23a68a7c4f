/**
 * Run on Windows with Hyper-V: the contract suites of hcs-bindings on the Windows driver and the system's own DLLs.
 * UVM_SHIM_TEST_KERNEL and UVM_SHIM_TEST_INITRD are the paths of a Linux kernel and its file system,
 * UVM_SHIM_TEST_DEVICE the instance path of a device that can be assigned, with two functions, and UVM_SHIM_TEST_FILES a
 * folder in which files can be made, by default that for temporary ones.
 */
import { execFileSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll } from "vitest";
import { connectWindowsHost } from "../../../packages/hcs-bindings/src/windows/connect.ts";
import { resolveLibraries } from "../../../packages/hcs-bindings/src/windows/native/libraries.ts";
import { describeWindowsContract } from "./windows-contract.ts";

const files = mkdtempSync(join(process.env.UVM_SHIM_TEST_FILES ?? tmpdir(), "uvm-shim-contract-"));

/** Its absence fails the suite before any test of it. */
function given(name: string): string {
  const value = process.env[name];
  if (value === undefined || value === "")
    throw new Error(`the environment variable ${name} is missing, see docs/windows.md`);
  return value;
}

afterAll(() => rmSync(files, { recursive: true }));

describeWindowsContract("Windows driver and this machine's host", {
  openHost: () => connectWindowsHost(resolveLibraries(process.env)),
  files,
  boot: { KernelFilePath: given("UVM_SHIM_TEST_KERNEL"), InitRdPath: given("UVM_SHIM_TEST_INITRD") },
  assignableDevice: given("UVM_SHIM_TEST_DEVICE"),
  // Whatever depends on it, such as the machine's own VMs' service, is started again too.
  loseService: async () => {
    execFileSync("powershell.exe", ["-NoProfile", "-Command", "Restart-Service -Force -Name vmcompute"]);
  },
});
