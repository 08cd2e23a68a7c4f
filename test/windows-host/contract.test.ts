import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { report, runSuiteUnderWine } from "./suites/run-under-wine.ts";
import { type TestHostPaths, testHostVariable } from "./suites/test-host-paths.ts";
import { WindowsMachine, windowsPath } from "./windows-machine.ts";
import { WindowsTestHost } from "./windows-test-host.ts";

const assignableDevice = "PCIP\\VEN_1234&DEV_5678";
const suite = fileURLToPath(new URL("suites/contract.suite.ts", import.meta.url));
const suiteMs = 600_000;

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

  it("passes the contract suites of every driver", { timeout: suiteMs }, async () => {
    const files = join(host.directory, "files");
    mkdirSync(files);
    const paths: TestHostPaths = {
      libraries: windowsPath(host.libraries),
      files: windowsPath(files),
      boot: {
        KernelFilePath: windowsPath(host.boot.KernelFilePath),
        InitRdPath: windowsPath(host.boot.InitRdPath),
      },
      assignableDevice,
    };
    const environment = { [testHostVariable]: JSON.stringify(paths) };
    const outcomes = await runSuiteUnderWine({ suite, machine, folder: files, environment, timeoutMs: suiteMs });
    const told = report(outcomes);
    process.stdout.write(`${told}\n`);
    expect(told).toBe(`${outcomes.length} passed, 0 failed`);
    expect(outcomes.length).toBeGreaterThan(40);
  });
});
