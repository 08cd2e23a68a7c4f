/** Every document of Windows' services, with its names in another case than in the schemas. */
import { readdirSync, readFileSync } from "node:fs";
import { hresults } from "@uvm-shim/hcs-schema";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { allSpellings, respelledText } from "../testing/respelling.ts";
import { FakeWindows } from "../testing/windows/fake-windows.ts";
import type { WindowsComputeSystem } from "./compute/compute-system.ts";
import type { WindowsHost } from "./windows-host.ts";

describe.each(allSpellings)("answers in %s case", (spelling) => {
  let on: FakeWindows;
  let host: WindowsHost;

  beforeEach(async () => {
    on = new FakeWindows();
    on.machine.spelling = spelling;
    host = await on.connect();
  });
  afterEach(async () => {
    await host.close();
    expect(await on.leftovers()).toEqual([]);
  });

  const create = (id = "vm"): Promise<WindowsComputeSystem> =>
    host.createComputeSystem(id, on.document({ owner: "test", endsWithLastHandle: true }));

  it("describe a system, in a query and in an enumeration", async () => {
    const system = await create();
    await system.start();
    const reported = {
      Id: "vm",
      SystemType: "VirtualMachine",
      Owner: "test",
      RuntimeId: system.runtimeId,
      State: "Running",
    };
    expect(await host.enumerateComputeSystems("test")).toMatchObject([reported]);
    expect(await system.properties(["Memory", "Statistics"])).toMatchObject({
      ...reported,
      Memory: { VirtualMachineMemory: { AssignedMemory: expect.any(Number) } },
      Statistics: { Processor: { TotalRuntime100ns: expect.any(Number) } },
    });
  });

  it("report a crash and the exit", async () => {
    const system = await create();
    await system.start();
    const [handle] = [...on.core.systems.values()];
    on.core.send(handle ?? {}, 0x3, '{"CrashLog":"panic","CrashParameters":[1]}');
    await system.crash();
    expect(await system.exited).toMatchObject({ ExitType: "UnexpectedExit", Status: hresults.HCS_E_UNEXPECTED_EXIT });
    expect(system.crashReport).toMatchObject({ CrashLog: "panic", CrashParameters: [1] });
  });

  it("describe processes", async () => {
    const system = await create();
    const process = await system.createProcess({ CommandLine: "run" });
    expect(await process.properties()).toMatchObject({ ProcessId: process.processId, Exited: false });
    await process.signal({ Signal: "CtrlC" });
    expect(await process.exited).toBe('{"Signal":"CtrlC"}'.length);
    const again = await system.openProcess(process.processId);
    for (const handle of on.core.processes.values()) on.core.exitProcess(handle, 3);
    expect(await again.exited).toBe(3);
  });

  it("explain failures of the compute service", async () => {
    await create();
    await expect(create()).rejects.toMatchObject({
      code: "AlreadyExists",
      message: expect.stringContaining("compute system vm already exists"),
      events: ["why"],
    });
    await expect(host.service.modify({ PropertyType: "CpuGroup" })).rejects.toMatchObject({
      message: expect.stringContaining("no such group"),
    });
  });

  it("explain failures of the network service", async () => {
    await expect(host.networks.queryNetwork("00000001-0000-4000-8000-0000000c0de0")).rejects.toMatchObject({
      code: "NotFound",
      message: expect.stringContaining("HCN_E_NETWORK_NOT_FOUND. "),
    });
  });

  it("describe the service itself", async () => {
    const properties = JSON.stringify({ Properties: [{ SupportedSchemaVersions: [{ Major: 2, Minor: 1 }] }] });
    Object.assign(on.machine.dlls.computecore ?? {}, {
      HcsGetServiceProperties: (_query: string, output: Buffer) => {
        output.writeBigUInt64LE(on.machine.giveText("computecore", properties));
        return 0;
      },
    });
    expect(await host.service.properties({ PropertyTypes: ["Basic"] })).toEqual(JSON.parse(properties));
  });

  it("differ from the original spelling", () => {
    const text = '{"Data":{"Id":"a"}}';
    expect(respelledText(text, spelling)).not.toBe(text);
    expect(JSON.parse(respelledText(text, spelling))).not.toHaveProperty("Data");
  });
});

it("answers are parsed only in the places listed here", () => {
  const sources = ["windows", "emulator"].flatMap((folder) =>
    readdirSync(`${import.meta.dirname}/../${folder}`, { encoding: "utf8", recursive: true })
      .filter((name) => name.endsWith(".ts") && !name.endsWith(".test.ts"))
      .map(
        (name) => [`${folder}/${name}`, readFileSync(`${import.meta.dirname}/../${folder}/${name}`, "utf8")] as const,
      ),
  );
  const found = (pattern: RegExp): readonly string[] =>
    sources.flatMap(([name, source]) => [...source.matchAll(pattern)].map(([, what]) => `${name}: ${what}`)).toSorted();
  // Places that parse JSON, and their readers.
  expect(found(/((?:[\w.]+\()?(?:JSON\.parse|parseHostDocument))\(/g)).toEqual([
    "emulator/connection.ts: checkEmulatedHostMessage(parseHostDocument",
    "windows/compute/call-results.ts: parseHostDocument",
    "windows/compute/call-results.ts: read(parseHostDocument",
    "windows/compute/system-documents.ts: checkCrashReport(parseHostDocument",
    "windows/compute/system-documents.ts: checkSystemExitStatus(parseHostDocument",
  ]);
  expect(found(/readAnswer\(\w+, \w+, (\w+)/g)).toEqual([
    "windows/compute/compute-service.ts: serviceAnswer",
    "windows/compute/compute-system.ts: readProperties",
    "windows/compute/host-process.ts: checkHostProcessStatus",
    "windows/compute/host-process.ts: checkHostProcessStatus",
    "windows/networks.ts: read",
    "windows/networks.ts: readIds",
    "windows/windows-host.ts: readEnumeration",
  ]);
  expect(found(/(check(?:Hcn|ComputeSystem|System|Host)[A-Z]\w*)\(/g)).toEqual([
    "windows/compute/call-results.ts: checkHostErrorDocument",
    "windows/compute/call-results.ts: checkHostErrorEvent",
    "windows/compute/system-documents.ts: checkComputeSystemProperties",
    "windows/compute/system-documents.ts: checkSystemExitStatus",
    "windows/compute/system-documents.ts: checkSystemType",
    "windows/networks.ts: checkHcnEndpoint",
    "windows/networks.ts: checkHcnNamespace",
    "windows/networks.ts: checkHcnNetwork",
  ]);
});
