import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { report, runSuiteUnderWine, testHostEnvironment } from "./suites/run-under-wine.ts";
import { assignableDevice } from "./suites/test-host-paths.ts";
import { WindowsMachine, windowsPath } from "./windows-machine.ts";
import { WindowsTestHost } from "./windows-test-host.ts";

const suiteMs = 600_000;
/** With the least number of tests that each has. */
const suites = {
  // Of the DLLs alone.
  dlls: 24,
  "guest-dlls": 14,
  contract: 40,
  spelling: 54,
  driver: 70,
  hvsockets: 13,
  system: 10,
  "stream-stress": 6,
  stress: 8,
  exit: 1,
};

describe("the Windows driver", () => {
  let host: WindowsTestHost;
  let machine: WindowsMachine;

  beforeAll(async () => {
    host = await WindowsTestHost.start({ devices: [{ instancePath: assignableDevice, functions: 2 }] });
    machine = await WindowsMachine.start({ folders: [host.directory], network: "shared" });
  });

  afterAll(async () => {
    await machine?.end();
    await host?.[Symbol.asyncDispose]();
  });

  it.each(Object.entries(suites))("passes the suite %s", { timeout: suiteMs }, async (name, leastTests) => {
    const suite = fileURLToPath(new URL(`suites/${name}.suite.ts`, import.meta.url));
    const files = join(host.directory, name);
    mkdirSync(files);
    const environment = testHostEnvironment(host, files);
    const outcomes = await runSuiteUnderWine({ suite, machine, folder: files, environment, timeoutMs: suiteMs });
    const summary = report(outcomes);
    const seconds = outcomes.reduce((sum, { milliseconds }) => sum + milliseconds, 0) / 1000;
    process.stdout.write(`${name}: ${summary} (${seconds.toFixed(1)} s)\n`);
    expect(summary).toBe(`${outcomes.length} passed, 0 failed`);
    expect(outcomes.length).toBeGreaterThanOrEqual(leastTests);
  });

  it("passes the suite for real hosts, but for the loss of a service", { timeout: suiteMs }, async () => {
    const files = join(host.directory, "real-host");
    mkdirSync(files);
    const outcomes = await runSuiteUnderWine({
      suite: fileURLToPath(new URL("suites/real-host.suite.ts", import.meta.url)),
      machine,
      folder: files,
      environment: {
        UVM_SHIM_HOST: `libraries:${windowsPath(host.libraries)}`,
        UVM_SHIM_TEST_KERNEL: windowsPath(host.boot.KernelFilePath),
        UVM_SHIM_TEST_INITRD: windowsPath(host.boot.InitRdPath),
        UVM_SHIM_TEST_DEVICE: assignableDevice,
        UVM_SHIM_TEST_FILES: windowsPath(files),
      },
      pattern: "^(?!.*service is lost)",
      timeoutMs: suiteMs,
    });
    const summary = report(outcomes);
    process.stdout.write(`real-host: ${summary}\n`);
    expect(summary).toBe(`${outcomes.length} passed, 0 failed`);
    expect(outcomes.length).toBeGreaterThanOrEqual(suites.contract - 1);
  });
});
