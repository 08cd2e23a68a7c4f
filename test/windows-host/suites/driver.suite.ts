/** Run under Wine: what the Windows driver has besides the contract, and what DLLs may do to it. */
import { randomUUID } from "node:crypto";
import { mkdirSync } from "node:fs";
import { win32 } from "node:path";
import { buffer } from "node:stream/consumers";
import { resourcePaths } from "@uvm-shim/hcs-schema";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { HostError } from "../../../packages/hcs-bindings/src/host-error.ts";
import type { WindowsComputeSystem } from "../../../packages/hcs-bindings/src/windows/compute/compute-system.ts";
import type { WindowsHost } from "../../../packages/hcs-bindings/src/windows/windows-host.ts";
import type { TestHostSettings } from "../relay/test-host-settings.ts";
import { held, heldAtRest } from "./held-resources.ts";
import { controls, paths, system } from "./system-under-test.ts";
import { vmDocument } from "./vm-document.ts";

let host: WindowsHost;
let made = 0;
/** Leftovers are reported only for the test that left them. */
let left: object = {};

beforeEach(async () => {
  left = await heldAtRest();
  host = await system.openHost();
});

afterEach(async () => {
  await host.close();
  await controls.configure({});
  await expect.poll(held).toEqual(left);
});

const newPath = (name: string): string => win32.join(paths.files, `${++made}-${name}`);
const document = vmDocument({ owner: "driver", endsWithLastHandle: true });

function create(signal?: AbortSignal): Promise<WindowsComputeSystem> {
  return host.createComputeSystem(`driver-${++made}`, document, signal);
}

async function running(): Promise<WindowsComputeSystem> {
  const vm = await create();
  await vm.start();
  return vm;
}

interface Walk {
  /** What it needs, and what no fault is to strike. */
  readonly prepare?: () => Promise<WindowsComputeSystem>;
  readonly go: (vm: WindowsComputeSystem) => Promise<void>;
}

/** Paths through the driver. */
const walks: { readonly [name: string]: Walk } = {
  "a compute system": {
    async go() {
      const vm = await create();
      try {
        await vm.start();
        await vm.properties(["Memory"]);
        await (await host.openComputeSystem(vm.id)).close();
        await host.enumerateComputeSystems("driver");
        await vm.terminate();
        await vm.exited;
      } finally {
        await vm.close();
      }
    },
  },
  "a process": {
    prepare: running,
    async go(vm) {
      const stdio = { CreateStdInPipe: true, CreateStdOutPipe: true, CreateStdErrPipe: true };
      const process = await vm.createProcess({ CommandLine: "cat", ...stdio });
      try {
        await (await vm.openProcess(process.processId)).close();
        await process.modify({ Operation: "CloseHandle", CloseHandle: { Handle: "StdIn" } });
        await process.exited;
      } finally {
        await process.close();
      }
    },
  },
  networks: {
    async go() {
      const { networks } = host;
      await (await networks.listen(() => {})).close();
      const { ID: network } = await networks.createNetwork({ Type: "NAT" });
      try {
        const { ID: endpoint } = await networks.createEndpoint(network, {});
        try {
          await networks.queryEndpoint(endpoint);
          await networks.enumerate("endpoint");
        } finally {
          await networks.deleteEndpoint(endpoint).catch(() => {});
        }
      } finally {
        await networks.deleteNetwork(network).catch(() => {});
      }
    },
  },
  "virtual disks": {
    async go() {
      const path = newPath("disk.vhdx");
      await host.disks.create({ path, size: 4 << 20 });
      await host.disks.sizeOf(path);
      await host.disks.chainOf(path);
      await host.disks.attach(path, { readOnly: true });
      await host.disks.detach(path);
      await host.service.properties({ PropertyTypes: ["Basic"] });
    },
  },
  "services for Windows guests": {
    prepare: running,
    async go(vm) {
      const { windows } = host;
      const [scratch, parent, disk] = [newPath("scratch"), newPath("parent"), newPath("disk.vhdx")];
      const container = `container-${made}`;
      mkdirSync(parent);
      await windows.addCredentialGuard(container, "{}");
      try {
        await windows.credentialGuards();
      } finally {
        await windows.removeCredentialGuard(container).catch(async (error: unknown) => {
          await controls.configure({});
          await windows.removeCredentialGuard(container);
          throw error;
        });
      }
      await vm.properties(["Memory"]);
      await (await windows.redirectHvsockets(randomUUID(), vm.runtimeId)).close();
      await windows.createScratchLayer(scratch, [parent]);
      await host.disks.create({ path: disk, size: 4 << 20 });
      await windows.setDiskIdentifier(disk, randomUUID());
      await windows.timeZone();
      const paths = [randomUUID(), randomUUID()].map(resourcePaths.hvSocketService);
      for (const BindSecurityDescriptor of ["D:P(A;;FA;;;SY)", "D:P(A;;FA;;;BA)"]) {
        for (const ResourcePath of paths) {
          await vm.modify({ ResourcePath, RequestType: "Update", Settings: { BindSecurityDescriptor } });
        }
      }
      for (const ResourcePath of paths) await vm.modify({ ResourcePath, RequestType: "Remove" });
    },
  },
};

/** For as many virtual machines as there are calls to fail. */
const loopMs = 300_000;

describe.each(Object.entries(walks))("%s", (_, { prepare = create, go }) => {
  const settings: { readonly [name: string]: TestHostSettings } = {
    "as everywhere": {},
    "with callbacks before the calls return": { callbacks: "beforeReturn" },
    "with callbacks on threads of their own": { callbacks: "freshThread" },
    "with callbacks that race the end of operations": { callbacks: "racingClose" },
    "with failures at once": { callbacks: "failingAtOnce" },
    "with failures at once and callbacks all the same": { callbacks: "failingAtOnceAndCallingBack" },
    "with answers that take their time": { delayMs: 20 },
    "with NTSTATUS values": { ntstatusForms: true },
    "with failures that carry no document": { withoutDocuments: true },
  };

  it.each(Object.entries(settings))("%s", async (_name, setting) => {
    await controls.configure(setting);
    await go(await prepare());
  });

  it("leaves nothing, whichever call runs out of memory", { timeout: loopMs }, async () => {
    const vm = await prepare();
    const prepared = await heldAtRest();
    for (let call = 1; ; call++) {
      await controls.configure({ outOfMemoryAt: call });
      const failure: unknown = await go(vm).then(
        () => undefined,
        (error: unknown) => error,
      );
      await expect.poll(held, { message: `of call ${call}` }).toEqual(prepared);
      if (failure === undefined) {
        expect(call).toBeGreaterThan(5);
        return;
      }
      expect(failure, `of call ${call}`).toBeInstanceOf(HostError);
    }
  });
});

describe("failures", () => {
  it.each([{}, { ntstatusForms: true }, { callbacks: "failingAtOnce" }, { withoutDocuments: true }] as const)(
    "are the same in whatever form they come: %j",
    async (setting) => {
      await controls.configure(setting);
      const vm = await create();
      await expect(host.createComputeSystem(vm.id, document)).rejects.toMatchObject({
        code: "AlreadyExists",
        hresultName: "HCS_E_SYSTEM_ALREADY_EXISTS",
      });
      await expect(host.openComputeSystem("missing")).rejects.toMatchObject({ code: "NotFound", gone: true });
    },
  );

  it("carry what the host says of them", async () => {
    const errorDocument = {
      ErrorMessage: "the disk is full",
      ErrorEvents: [{ Message: "of events" }, { Message: "there are two" }],
    };
    const answer = { function: "HcsStartComputeSystem", hresult: 0x80070070, document: JSON.stringify(errorDocument) };
    await controls.configure({ answers: [answer] });
    const vm = await create();
    await expect(vm.start()).rejects.toMatchObject({
      hresult: 0x80070070,
      message: expect.stringContaining("the disk is full"),
      events: ["of events", "there are two"],
    });
  });

  it.each([
    ["nothing", ""],
    ["much", "x".repeat(1 << 20)],
    ["characters of every plane", "äöü€😀\u{10ffff}"],
    ["half a character", "\ud83d"],
  ])("with %s for a document are failures", async (_, text) => {
    const answer = { function: "HcsStartComputeSystem", hresult: 0x80004005, document: text };
    await controls.configure({ answers: [answer] });
    const vm = await create();
    await expect(vm.start()).rejects.toMatchObject({
      code: "Internal",
      events: text === "" ? [] : [text.slice(0, 1000)],
    });
  });
});

describe("processes", () => {
  it("have streams that carry what is written", async () => {
    const vm = await running();
    const process = await vm.createProcess({ CommandLine: "cat", CreateStdInPipe: true, CreateStdOutPipe: true });
    const { stdin, stdout } = process.stdio;
    if (stdin === undefined || stdout === undefined) throw new Error("a stream is missing");
    const bytes = Buffer.alloc(3_000_000, "x");
    const read = buffer(stdout);
    stdin.end(bytes);
    expect((await read).equals(bytes)).toBe(true);
    expect(await process.exited).toBe(0);
    await process.close();
  });

  it.each([0, 7, 0xffffffff])("exit with %i", async (code) => {
    const vm = await running();
    const process = await vm.createProcess({ CommandLine: `exit ${code}` });
    expect(await process.exited).toBe(code);
    await process.terminate();
  });

  it("are signalled, and found by their ids", async () => {
    const vm = await running();
    const process = await vm.createProcess({ CommandLine: "cat" });
    const found = await vm.openProcess(process.processId);
    expect(await found.properties()).toMatchObject({ ProcessId: process.processId, Exited: false });
    await process.signal({ Signal: "CtrlC" });
    expect([await process.exited, await found.exited]).toEqual([0xc000013a, 0xc000013a]);
    await expect(vm.openProcess(1)).rejects.toMatchObject({ code: "NotFound" });
  });
});

describe("the service", () => {
  it("that ends fails each waiting call once, and the next one serves", async () => {
    const vm = await running();
    const process = await vm.createProcess({ CommandLine: "cat" });
    const lost = { code: "Unavailable", hresultName: "HCS_E_SERVICE_DISCONNECT" };
    const exits = [expect(vm.exited).rejects.toMatchObject(lost), expect(process.exited).rejects.toMatchObject(lost)];
    await controls.configure({ disconnect: true });
    await Promise.all(exits);
    await expect(vm.terminate()).rejects.toMatchObject(lost);
    await (await create()).close();
  });

  it("reports networks", async () => {
    const heard: number[] = [];
    const notifications = await host.networks.listen((type) => heard.push(type));
    const { ID } = await host.networks.createNetwork({ Type: "NAT" });
    await expect.poll(() => heard).toContain(2);
    await host.networks.deleteNetwork(ID);
    await expect.poll(() => heard).toContain(4);
    await notifications.close();
  });

  it("is closed while it works for a hundred", async () => {
    const vm = await create();
    await controls.configure({ delayMs: 200, callbacks: "racingClose" });
    const calls = Array.from({ length: 100 }, () => vm.properties([]));
    const outcomes = Promise.allSettled(calls);
    await host.close();
    for (const outcome of await outcomes) {
      expect(outcome).toMatchObject({ status: "rejected", reason: { code: "Cancelled", gone: true } });
    }
  });
});

describe("virtual disks", () => {
  it("of both kinds are made, measured and expanded", async () => {
    for (const path of [newPath("disk.vhd"), newPath("disk.vhdx")]) {
      await host.disks.create({ path, size: 4 << 20 });
      await host.disks.expand(path, 8 << 20);
      expect(await host.disks.sizeOf(path)).toMatchObject({ virtualSize: 8 << 20 });
      await expect(host.disks.create({ path, size: 4 << 20 })).rejects.toMatchObject({ hresult: 0x80070050 });
    }
    await expect(host.disks.sizeOf(newPath("missing.vhdx"))).rejects.toMatchObject({ code: "NotFound" });
  });

  it("have parents, and are copied from others", async () => {
    const [base, middle, leaf, copy] = ["base.vhdx", "ü😀.avhdx", "leaf.avhdx", "copy.vhdx"].map(newPath);
    if (base === undefined || middle === undefined || leaf === undefined || copy === undefined) throw new Error();
    await host.disks.create({ path: base, size: 4 << 20 });
    await host.disks.formatWritableLayer(base);
    await host.disks.create({ path: middle, parent: base });
    await host.disks.create({ path: leaf, parent: middle });
    await host.disks.create({ path: copy, source: base });
    expect(await host.disks.chainOf(leaf)).toEqual([leaf, middle, base]);
    expect(await host.disks.chainOf(copy)).toEqual([copy]);
    expect(await host.disks.sizeOf(copy)).toMatchObject({ virtualSize: 4 << 20 });
  });

  it("are attached until they are detached", async () => {
    const path = newPath("disk.vhdx");
    await host.disks.create({ path, size: 4 << 20 });
    expect(await host.disks.attach(path, { readOnly: false })).toMatch(/^\\\\\.\\PhysicalDrive\d+$/);
    await expect(host.disks.attach(path, { readOnly: true })).rejects.toMatchObject({ code: "FailedPrecondition" });
    await host.disks.detach(path);
    await expect(host.disks.detach(path)).rejects.toMatchObject({ hresult: 0x80070015 });
  });
});

it("asks for live migration where the DLL has it", async () => {
  const vm = await create();
  const options = { Origin: "Source" } as const;
  const { liveMigration: migration } = vm;
  if (migration === undefined) throw new Error("the test host has live migration");
  const names = ["InitializeLiveMigrationOnSource", "StartLiveMigrationTransfer", "CancelLiveMigration"];
  await controls.configure({ answers: names.map((name) => ({ function: `Hcs${name}` })) });
  await migration.initializeOnSource(options);
  await migration.startTransfer(options);
  await migration.cancel(options);
  await expect(migration.finalize({ ...options, FinalizedOperation: "Stop" })).rejects.toBeInstanceOf(HostError);
});
