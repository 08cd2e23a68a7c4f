/** A pod's network on the emulated host, whose answers use the schema's case for names and other cases. */
import { randomBytes, randomUUID } from "node:crypto";
import { existsSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import { fileURLToPath } from "node:url";
import { linuxNetworking, NetworkController } from "@uvm-shim/controller-network";
import { Plan9Controller } from "@uvm-shim/controller-plan9";
import { type DeviceWiring, linuxVm, VmController } from "@uvm-shim/controller-vm";
import { LinuxGuest } from "@uvm-shim/guest-lcow";
import { type ComputeHost, connectEmulatedHost } from "@uvm-shim/hcs-bindings";
import type { LinuxHostedContainerSettings } from "@uvm-shim/hcs-schema";
import { hostVariables } from "@uvm-shim/host-protocol";
import { processGuestKernel } from "@uvm-shim/host-protocol/guest";
import { systemClock as clock, posixPaths } from "@uvm-shim/lifecycle";
import { describeWith } from "@uvm-shim/test-support/machine-needs";
import { makeRootfs } from "@uvm-shim/test-support/rootfs";
import { expect, it, vi } from "vitest";
import { allSpellings, RespellingProxy, type Spelling } from "../../../packages/hcs-bindings/src/testing/respelling.ts";

const sourceOf = (path: string): string => fileURLToPath(new URL(`../../../packages/${path}`, import.meta.url));

async function bootedVm(host: ComputeHost, kernel: string) {
  const vm = new VmController<LinuxGuest, undefined, Plan9Controller, DeviceWiring<LinuxGuest>>({
    id: "vm",
    host,
    clock,
    flavour: linuxVm(randomBytes),
    onGuestLog: () => {},
    connectGuest: (stream, system, abort) => {
      const options = { listen: (port: number) => system.listen(port), newActivityId: randomUUID, delay: clock.delay };
      return LinuxGuest.connect(stream, { ...options, log: { log: () => {} } }, abort);
    },
    devices: {
      scsi: () => undefined,
      plan9: (wiring) =>
        new Plan9Controller({ ...wiring, newId: randomUUID, paths: posixPaths, noWritableFileShares: false }),
      vpci: (wiring) => wiring,
    },
  });
  const Chipset = { LinuxKernelDirect: { KernelFilePath: kernel, InitRdPath: sourceOf("guest-agent/src/main.ts") } };
  const ComputeTopology = { Memory: { SizeInMB: 256 }, Processor: { Count: 1 } };
  await vm.create({
    document: {
      Owner: "pod network",
      SchemaVersion: { Major: 2, Minor: 1 },
      ShouldTerminateOnLastHandleClosed: true,
      VirtualMachine: { Chipset, ComputeTopology, Devices: { Plan9: {} } },
    },
  });
  await vm.start();
  return vm;
}

type Vm = Awaited<ReturnType<typeof bootedVm>>;

async function runIn(vm: Vm, args: readonly string[]): Promise<string> {
  const program = await vm.execute({ args, stdout: true });
  if (program.stdout === undefined) throw new Error("the process has no standard output");
  const [output, code] = await Promise.all([text(program.stdout), program.wait()]);
  await program.close();
  expect(code).toBe(0);
  return output;
}

async function addressesIn(vm: Vm): Promise<readonly string[]> {
  const output = await runIn(vm, ["ip", "-o", "-4", "addr", "show"]);
  return [...output.matchAll(/(eth\d+) +inet (\S+)/g)].map(([, name, address]) => `${name} ${address}`);
}

/** A pod in the VM's own network, so that a program of the VM sees the NICs. */
const sandboxIn = (networkNamespace: string, root: string): LinuxHostedContainerSettings => ({
  SchemaVersion: { Major: 2, Minor: 1 },
  OciBundlePath: "/run/gcs/pods/pod/pod",
  ScratchDirPath: "",
  OciSpecification: {
    ociVersion: "1.0.2",
    process: { cwd: "/", args: ["/bin/sleep", "1000"] },
    root: { path: root },
    mounts: [],
    annotations: {
      "io.kubernetes.cri.container-type": "sandbox",
      "io.kubernetes.cri.sandbox-id": "pod",
      "io.microsoft.virtualmachine.lcow.hostnetwork": "true",
    },
    linux: { resources: {}, namespaces: [{ type: "mount" }, { type: "pid" }] },
    windows: { network: { networkNamespace } },
  },
});

const cases: readonly (readonly [name: string, spelling: Spelling | undefined])[] = [
  ["as in Microsoft's schemas", undefined],
  ...allSpellings.map((spelling) => [`in ${spelling} case`, spelling] as const),
];

describeWith(
  "root",
  "crun",
  "ip",
  "busybox",
)("a pod's network on the emulated host", () => {
  it.each(cases)("is set up and torn down when the names in answers are %s", async (_name, spelling) => {
    await using made = new AsyncDisposableStack();
    const directory = mkdtempSync(join(tmpdir(), "pod-network-"));
    made.defer(() => rmSync(directory, { recursive: true, force: true }));
    const kernel = join(directory, "kernel");
    writeFileSync(kernel, `${processGuestKernel}\n`);
    const socketPath = join(directory, "host.sock");
    const start = {
      command: process.execPath,
      args: [sourceOf("host-emulator/src/main.ts")],
      env: { [hostVariables.idleMs]: "100" },
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
    // NICs stay as they are until a container has their namespace.
    const rootfs = join(directory, "rootfs");
    await makeRootfs(rootfs);
    const share = await vm.plan9.reserve({ hostPath: rootfs, readOnly: false });
    const root = await vm.plan9.mapToGuest(share);
    await vm.guest.createContainer("pod", sandboxIn(namespaceId, root));
    expect(await addressesIn(vm)).toEqual(["eth0 10.61.0.2/24", "eth1 10.61.0.3/24"]);
    await pod.teardown();
    expect(await addressesIn(vm)).toEqual([]);
  });
});
