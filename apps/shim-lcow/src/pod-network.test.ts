/** A pod's network on the emulated host, whose answers have their names in the schema's case and in others. */
import { randomBytes, randomUUID } from "node:crypto";
import { existsSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import { fileURLToPath } from "node:url";
import { linuxNetworking, NetworkController } from "@uvm-shim/controller-network";
import { type DeviceWiring, linuxVm, VmController } from "@uvm-shim/controller-vm";
import { LinuxGuest } from "@uvm-shim/guest-lcow";
import { type ComputeHost, connectEmulatedHost } from "@uvm-shim/hcs-bindings";
import { systemClock as clock } from "@uvm-shim/shim";
import { expect, it, vi } from "vitest";
import { allSpellings, RespellingProxy, type Spelling } from "../../../packages/hcs-bindings/src/testing/respelling.ts";
import { describeWith } from "../../../tools/machine-needs.ts";

const sourceOf = (path: string): string => fileURLToPath(new URL(`../../../packages/${path}`, import.meta.url));

async function bootedVm(host: ComputeHost, kernel: string) {
  const vm = new VmController<LinuxGuest, undefined, never, DeviceWiring<LinuxGuest>>({
    id: "vm",
    host,
    clock,
    flavour: linuxVm(randomBytes),
    onGuestLog: () => {},
    connectGuest: (stream, system, abort) => {
      const options = { listen: (port: number) => system.listen(port), newActivityId: randomUUID, delay: clock.delay };
      return LinuxGuest.connect(stream, { ...options, log: { log: () => {} } }, abort);
    },
    devices: { scsi: () => undefined, vpci: (wiring) => wiring },
  });
  const Chipset = { LinuxKernelDirect: { KernelFilePath: kernel, InitRdPath: sourceOf("guest-agent/src/main.ts") } };
  const ComputeTopology = { Memory: { SizeInMB: 256 }, Processor: { Count: 1 } };
  await vm.create({
    document: {
      Owner: "pod network",
      SchemaVersion: { Major: 2, Minor: 1 },
      ShouldTerminateOnLastHandleClosed: true,
      VirtualMachine: { Chipset, ComputeTopology },
    },
  });
  await vm.start();
  return vm;
}

async function addressesIn(vm: Awaited<ReturnType<typeof bootedVm>>): Promise<readonly string[]> {
  const listing = await vm.execute({ args: ["ip", "-o", "-4", "addr", "show"], stdout: true });
  if (listing.stdout === undefined) throw new Error("the process has no standard output");
  const [told, code] = await Promise.all([text(listing.stdout), listing.wait()]);
  await listing.close();
  expect(code).toBe(0);
  return [...told.matchAll(/(eth\d+) +inet (\S+)/g)].map(([, name, address]) => `${name} ${address}`);
}

const cases: readonly (readonly [name: string, spelling: Spelling | undefined])[] = [
  ["as in Microsoft's schemas", undefined],
  ...allSpellings.map((spelling) => [`in ${spelling} case`, spelling] as const),
];

describeWith(
  "root",
  "crun",
  "ip",
)("a pod's network on the emulated host", () => {
  it.each(cases)("comes up and goes where the names of answers are %s", async (_name, spelling) => {
    await using made = new AsyncDisposableStack();
    const directory = mkdtempSync(join(tmpdir(), "pod-network-"));
    made.defer(() => rmSync(directory, { recursive: true, force: true }));
    const kernel = join(directory, "kernel");
    writeFileSync(kernel, "uvm-shim process guest 1\n");
    const socketPath = join(directory, "host.sock");
    const start = {
      command: process.execPath,
      args: [sourceOf("host-emulator/src/main.ts")],
      env: { UVM_SHIM_HOST_IDLE_MS: "100" },
    };
    made.defer(() => vi.waitFor(() => expect(existsSync(socketPath)).toBe(false), { timeout: 10_000 }));
    const direct = await connectEmulatedHost({ socketPath, start });
    made.defer(() => direct.close());
    let host: ComputeHost = direct;
    if (spelling !== undefined) {
      const proxyPath = join(directory, "proxy.sock");
      const proxy = await RespellingProxy.start(proxyPath, socketPath, spelling);
      made.defer(() => proxy.close());
      host = await connectEmulatedHost({ socketPath: proxyPath });
      made.defer(() => host.close());
    }

    const { networks } = host;
    // Objects keep the emulated host alive: they are deleted by ids of our own, also when their answers are not understood.
    const [network, namespaceId, first, second] = [randomUUID(), randomUUID(), randomUUID(), randomUUID()];
    const gone = (error: { readonly gone?: boolean }): void => expect(error.gone).toBe(true);
    made.defer(() => direct.networks.deleteNetwork(network).catch(gone));
    await networks.createNetwork({ ID: network, Type: "L2Bridge", Name: "pods" });
    made.defer(() => direct.networks.deleteNamespace(namespaceId).catch(gone));
    await networks.createNamespace({ ID: namespaceId, Type: "Guest" });
    for (const [number, ID] of [first, second].entries()) {
      const IpConfigurations = [{ IpAddress: `10.61.0.${number + 2}`, PrefixLength: 24 }];
      made.defer(() => direct.networks.deleteEndpoint(ID).catch(gone));
      await networks.createEndpoint(network, { ID, Name: `eth${number}`, IpConfigurations });
      await networks.addNamespaceEndpoint(namespaceId, ID);
    }
    const vm = await bootedVm(host, kernel);
    made.defer(() => vm.terminate());
    const { host: nics, guest } = vm.networkWiring;
    const pod = new NetworkController({
      namespaceId,
      networks,
      host: nics,
      guest: linuxNetworking({ guest }),
      newId: randomUUID,
    });

    await pod.setup();
    expect(await addressesIn(vm)).toEqual(["eth0 10.61.0.2/24", "eth1 10.61.0.3/24"]);
    await pod.teardown();
    expect(await addressesIn(vm)).toEqual([]);
  });
});
