/** Run under Wine: that the Windows driver gives back all that it takes, however often, and holds nobody up. */

import { win32 } from "node:path";
import { linuxVsockPorts } from "@uvm-shim/hcs-schema";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import type { WindowsComputeSystem } from "../../../packages/hcs-bindings/src/windows/compute/compute-system.ts";
import type { WindowsHost } from "../../../packages/hcs-bindings/src/windows/windows-host.ts";
import { held, heldAtRest } from "./held-resources.ts";
import { leavesNothing } from "./leaves-nothing.ts";
import { controls, paths, system } from "./system-under-test.ts";
import { vmDocument } from "./vm-document.ts";

const operations = 40_000;
const stressMs = 600_000;
const document = vmDocument({ owner: "stress", endsWithLastHandle: true });

let host: WindowsHost;
let vm: WindowsComputeSystem;
let idle: object;

beforeAll(async () => {
  host = await system.openHost();
  vm = await host.createComputeSystem("stress", document);
  await receiveGuest();
  idle = await heldAtRest();
});

afterEach(async () => {
  await controls.configure({});
  await expect.poll(held).toEqual(idle);
});

afterAll(async () => {
  await host.close();
  expect(held()).toEqual({});
});

/** A guest that nobody answers would end. */
async function receiveGuest(): Promise<void> {
  const { entropy, log, gcs } = linuxVsockPorts;
  const listeners = await Promise.all([entropy, log, gcs].map((port) => vm.listen(port)));
  const [seed, ...others] = listeners.map((listener) => listener.accept());
  await vm.start();
  (await seed)?.end(Buffer.alloc(512));
  for (const stream of await Promise.all(others)) stream.resume();
}

describe("nothing is left, and memory is flat, after many", { timeout: stressMs }, () => {
  it("of operations", async () => {
    await leavesNothing("operations", () => vm.properties([]), operations);
  });

  it("of operations that fail", async () => {
    await leavesNothing("failures", () => host.createComputeSystem(vm.id, document).catch(() => {}));
  });

  it("of systems", async () => {
    let made = 0;
    await leavesNothing("systems", async () => {
      const system = await host.createComputeSystem(`stress-${++made}`, document);
      await system.close();
    });
  });

  it("of processes", async () => {
    const process = await vm.createProcess({ CommandLine: "cat" });
    await leavesNothing("processes", async () => (await vm.openProcess(process.processId)).close());
    await process.terminate();
    await process.close();
  });

  it("of processes with streams", async () => {
    const stdio = { CreateStdInPipe: true, CreateStdOutPipe: true, CreateStdErrPipe: true };
    await leavesNothing("processes with streams", async () => {
      const process = await vm.createProcess({ CommandLine: "exit 0", ...stdio });
      await process.exited;
      await process.close();
    });
  });

  it("of network objects", async () => {
    const { networks } = host;
    const { ID: network } = await networks.createNetwork({ Type: "NAT" });
    const { ID: endpoint } = await networks.createEndpoint(network, {});
    const { ID: namespace } = await networks.createNamespace({});
    await leavesNothing("networks", () => networks.queryNetwork(network));
    await leavesNothing("endpoints", () => networks.queryEndpoint(endpoint));
    await leavesNothing("namespaces", () => networks.queryNamespace(namespace));
    await leavesNothing("notifications", async () => (await networks.listen(() => {})).close());
    await networks.deleteNamespace(namespace);
    await networks.deleteEndpoint(endpoint);
    await networks.deleteNetwork(network);
  });

  it("of virtual disks", async () => {
    const path = win32.join(paths.files, "disk.vhdx");
    await host.disks.create({ path, size: 4 << 20 });
    await leavesNothing("virtual disks", () => host.disks.sizeOf(path));
  });
});

describe("a call that sleeps", () => {
  it("delays none of a thousand operations", { timeout: stressMs }, async () => {
    const sleep = { function: "HcsGetServiceProperties", milliseconds: 5000 } as const;
    await controls.configure({ delayMs: 500, sleep });
    const ended: string[] = [];
    const sleeping = host.service.properties({ PropertyTypes: ["Basic"] }).then(() => ended.push("the call"));
    await Promise.all(Array.from({ length: 1000 }, () => vm.properties([])));
    ended.push("the operations");
    await sleeping;
    expect(ended).toEqual(["the operations", "the call"]);
  });
});
