/** Run under Wine: the test host's DLLs themselves. That they do what the real ones do to their callers. */
import { hresults } from "@uvm-shim/hcs-schema";
import { afterEach, describe, expect, it } from "vitest";
import type { TestHostSettings } from "../relay/test-host-settings.ts";
import { answerOf, controls, core, hex, kernel, ole, RawEvents, RawOperation } from "./raw-dlls.ts";
import { type TestHostPaths, testHostVariable } from "./test-host-paths.ts";

const { boot } = JSON.parse(process.env[testHostVariable] ?? "{}") as TestHostPaths;

const notStarted = 0x80370115;
const alreadyStarted = 0x80370116;
const handleError = 0x80070006;
const events = { exited: 0x1, guestConnectionClosed: 0x6, operation: 0x1000000, serviceDisconnect: 0x2000000 };
const withOperationCallbacks = 1;

const document = JSON.stringify({
  Owner: "dlls",
  SchemaVersion: { Major: 2, Minor: 1 },
  ShouldTerminateOnLastHandleClosed: true,
  VirtualMachine: {
    Chipset: { LinuxKernelDirect: boot },
    ComputeTopology: { Memory: { SizeInMB: 256 }, Processor: { Count: 1 } },
    Devices: {},
  },
});

let made = 0;
const operations: RawOperation[] = [];
const systems: bigint[] = [];

function operation(options: { readonly withoutCallback?: true } = {}): RawOperation {
  const created = new RawOperation(options);
  operations.push(created);
  return created;
}

async function createSystem(configuration = document): Promise<{ handle: bigint; creation: RawOperation }> {
  made++;
  const buffer = Buffer.alloc(8);
  const creation = operation();
  const hresult = await core.run(
    "HcsCreateComputeSystem",
    `dlls-${made}`,
    configuration,
    creation.handle,
    null,
    buffer,
  );
  const handle = buffer.readBigUInt64LE();
  if (handle !== 0n) systems.push(handle);
  expect(hex(hresult)).toBe("0x0");
  return { handle, creation };
}

const enumerate = (on: RawOperation): Promise<number> => core.run("HcsEnumerateComputeSystems", null, on.handle);

/** One enumeration, from its beginning to its result. */
async function enumeration(): Promise<{ begun: number; hresult: number; document: string | undefined }> {
  const on = operation();
  const begun = (await enumerate(on)) >>> 0;
  if (begun === 0) await on.calledBack;
  return { begun, ...(await on.result()) };
}

afterEach(async () => {
  await controls.configure({});
  for (const system of systems.splice(0)) await core.run("HcsCloseComputeSystem", system);
  for (const closing of operations.splice(0)) await closing.close();
  const { operations: left, systems: open, strings, callbacks } = controls.counts();
  expect({ left, open, strings, callbacks }).toEqual({ left: 0, open: 0, strings: 0, callbacks: 0 });
});

describe("operations", () => {
  it("have a result when they have been started and have ended", async () => {
    const on = operation();
    expect(await on.result()).toEqual({ hresult: notStarted, document: undefined });
    await controls.configure({ delayMs: 100 });
    expect(await enumerate(on)).toBe(0);
    expect(await on.result()).toEqual({ hresult: hresults.HCS_E_OPERATION_PENDING, document: undefined });
    expect((await enumerate(on)) >>> 0).toBe(alreadyStarted);
    expect((await on.wait(0)).hresult).toBe(hresults.HCS_E_OPERATION_TIMEOUT);
    expect(await on.wait(10_000)).toEqual({ hresult: 0, document: "[]" });
    await on.calledBack;
    expect(await on.result()).toEqual({ hresult: 0, document: "[]" });
    expect(on.calls).toBe(1);
  });

  it("are not cancelled, which the real service does not do either", async () => {
    expect((await core.run("HcsCancelOperation", operation().handle)) >>> 0).toBe(hresults.E_NOTIMPL);
  });

  it("go without a callback", async () => {
    const on = operation({ withoutCallback: true });
    await enumerate(on);
    expect(await on.wait(10_000)).toEqual({ hresult: 0, document: "[]" });
  });

  it("are not called back once they are closed", async () => {
    const on = new RawOperation();
    await controls.configure({ delayMs: 50 });
    await enumerate(on);
    await on.close();
    await enumeration();
    expect(on.calls).toBe(0);
  });

  it("that are closed are known as such", async () => {
    const { misuses } = controls.counts();
    const on = new RawOperation();
    await on.close();
    expect((await enumerate(on)) >>> 0).toBe(handleError);
    expect(controls.counts()).toMatchObject({ misuses: misuses + 1, lastMisuse: expect.stringMatching(/not open/) });
  });
});

describe("compute systems", () => {
  it("report operations in events where that is asked for, and then in no callbacks", async () => {
    const { handle, creation } = await createSystem();
    await creation.calledBack;
    const heard = new RawEvents();
    await core.run("HcsSetComputeSystemCallback", handle, withOperationCallbacks, null, heard.callback.address);
    const refused = await core.run("HcsStartComputeSystem", handle, operation().handle, null);
    expect(refused >>> 0).toBe(hresults.HCS_E_OPERATION_SYSTEM_CALLBACK_ALREADY_SET);
    expect(await core.run("HcsStartComputeSystem", handle, operation({ withoutCallback: true }).handle, null)).toBe(0);
    await heard.hears(events.operation);
    await core.run("HcsTerminateComputeSystem", handle, operation({ withoutCallback: true }).handle, null);
    await heard.hears(events.exited);
    const exit = await answerOf((buffer) => core.run("HcsWaitForComputeSystemExit", handle, 0, buffer));
    expect(JSON.parse(exit.document ?? "")).toMatchObject({ Status: 0, ExitType: "ForcedExit" });
  });

  it("have a handle before they are created, also when they are refused", async () => {
    const { handle, creation } = await createSystem("{}");
    expect(handle).not.toBe(0n);
    await creation.calledBack;
    const { hresult, document: words } = await creation.result();
    expect(hresult).toBe(hresults.HCS_E_INVALID_JSON);
    expect(JSON.parse(words ?? "")).toMatchObject({ Error: hresult | 0, ErrorMessage: expect.stringMatching(/./) });
  });

  it("end with the service", async () => {
    const { handle, creation } = await createSystem();
    await creation.calledBack;
    const heard = new RawEvents();
    await core.run("HcsSetComputeSystemCallback", handle, 0, null, heard.callback.address);
    await controls.configure({ disconnect: true });
    await heard.hears(events.serviceDisconnect);
    const start = operation();
    await core.run("HcsStartComputeSystem", handle, start.handle, null);
    await start.calledBack;
    expect((await start.result()).hresult).toBe(hresults.HCS_E_SERVICE_DISCONNECT);
    const exit = await answerOf((buffer) => core.run("HcsWaitForComputeSystemExit", handle, 0, buffer));
    expect(exit.hresult).toBe(hresults.HCS_E_SERVICE_DISCONNECT);
    expect((await enumeration()).hresult).toBe(0);
  });
});

describe("the settings of the test host", () => {
  const failure: TestHostSettings["answers"] = [
    { function: "HcsEnumerateComputeSystems", hresult: hresults.E_FAIL, document: "{}" },
  ];

  it("make callbacks come before the call returns", async () => {
    await controls.configure({ callbacks: "beforeReturn" });
    const on = operation();
    let calls = -1;
    await enumerate(on).then(() => {
      calls = on.calls;
    });
    expect(calls).toBe(1);
  });

  it("make callbacks come on threads of their own", async () => {
    await controls.configure({ callbacks: "freshThread" });
    expect(await Promise.all([enumeration(), enumeration(), enumeration()])).toEqual(
      Array(3).fill({ begun: 0, hresult: 0, document: "[]" }),
    );
  });

  it("fail calls at once", async () => {
    await controls.configure({ callbacks: "failingAtOnce", answers: failure });
    const on = operation();
    expect((await enumerate(on)) >>> 0).toBe(hresults.E_FAIL);
    expect(await on.result()).toEqual({ hresult: notStarted, document: undefined });
    expect(await enumeration()).toEqual({ begun: 0, hresult: 0, document: "[]" });
    expect(on.calls).toBe(0);
  });

  it("call back though the call has failed", async () => {
    await controls.configure({ callbacks: "failingAtOnceAndCallingBack", answers: failure });
    const on = operation();
    expect((await enumerate(on)) >>> 0).toBe(hresults.E_FAIL);
    await on.calledBack;
  });

  it("make callbacks race with the closing of their object", async () => {
    const { handle, creation } = await createSystem();
    await creation.calledBack;
    const heard = new RawEvents();
    await core.run("HcsSetComputeSystemCallback", handle, 0, null, heard.callback.address);
    await controls.configure({ callbacks: "racingClose", delayMs: 50 });
    const on = new RawOperation();
    await enumerate(on);
    await on.close();
    expect(on.calls).toBe(1);
    systems.splice(systems.indexOf(handle), 1);
    await core.run("HcsCloseComputeSystem", handle);
    expect(heard.types).toEqual([events.guestConnectionClosed]);
  });

  it("give errors with and without documents", async () => {
    await controls.configure({ answers: failure });
    expect(await enumeration()).toEqual({ begun: 0, hresult: hresults.E_FAIL, document: "{}" });
    await controls.configure({ withoutDocuments: true });
    const { creation } = await createSystem("{}");
    await creation.calledBack;
    expect(await creation.result()).toEqual({ hresult: hresults.HCS_E_INVALID_JSON, document: undefined });
  });

  it("give results in their NTSTATUS form", async () => {
    await controls.configure({ ntstatusForms: true });
    const { creation } = await createSystem("{}");
    await creation.calledBack;
    expect(hex((await creation.result()).hresult)).toBe("0xc037010d");
  });

  it.each([
    ["empty", ""],
    ["long", "x".repeat(1_000_000)],
    ["of more than one kind of character", "é 漢 😀 \t\n \u0001"],
  ])("have texts that are %s", async (_, text) => {
    await controls.configure({ answers: [{ function: "HcsGetServiceProperties", document: text }] });
    const answer = await answerOf((buffer) => core.run("HcsGetServiceProperties", null, buffer));
    expect(answer).toEqual({ hresult: 0, document: text });
  });

  it("make the call of a given number run out of memory", async () => {
    await controls.configure({ outOfMemoryAt: 1 });
    expect(core.call("HcsCreateOperation", null, null)).toBe(0n);
    await controls.configure({ outOfMemoryAt: 2 });
    expect(await enumeration()).toMatchObject({ begun: hresults.E_OUTOFMEMORY, hresult: notStarted });
    await controls.configure({ outOfMemoryAt: 3 });
    expect(await enumeration()).toEqual({ begun: 0, hresult: 0x8037011a, document: undefined });
  });

  it("make calls sleep", async () => {
    await controls.configure({ sleep: { function: "HcsGetServiceProperties", milliseconds: 200 } });
    const before = performance.now();
    await answerOf((buffer) => core.run("HcsGetServiceProperties", null, buffer));
    expect(performance.now() - before).toBeGreaterThan(190);
  });

  it("are refused when they are unknown", async () => {
    await expect(controls.configure({ Callbacks: "worker" } as TestHostSettings)).rejects.toThrow(/refuses/);
  });
});

describe("result strings", () => {
  async function serviceProperties(): Promise<bigint> {
    const buffer = Buffer.alloc(8);
    await core.run("HcsGetServiceProperties", '{"PropertyTypes":["Basic"]}', buffer);
    return buffer.readBigUInt64LE();
  }

  it("are counted until they are freed", async () => {
    const address = await serviceProperties();
    expect(controls.counts().strings).toBe(1);
    kernel.call("LocalFree", address);
    expect(controls.counts().strings).toBe(0);
  });

  it("that are freed twice are known", async () => {
    const { doubleFrees } = controls.counts();
    const address = await serviceProperties();
    kernel.call("LocalFree", address);
    kernel.call("LocalFree", address);
    expect(controls.counts().doubleFrees).toBe(doubleFrees + 1);
  });

  it("that are freed in another's way are known", async () => {
    const { misuses } = controls.counts();
    ole.call("CoTaskMemFree", await serviceProperties());
    expect(controls.counts()).toMatchObject({ misuses: misuses + 1, lastMisuse: expect.stringMatching(/freed/) });
  });
});
