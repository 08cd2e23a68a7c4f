/** What Windows containers are given: files, pipes, limits, networks, identities; and what is told of them. */
import assert from "node:assert/strict";
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { dirname, join } from "node:path";
import { defaultHostSocket, hostPipePath } from "@uvm-shim/host-protocol";
import { containerd } from "@uvm-shim/shim/protocol";
import type { Pod, PodContainer } from "../../shim-client/pod.ts";
import { Task } from "../../shim-client/shim.ts";
import {
  canTakeMemory,
  largestShare,
  limitedResources,
  processorCount,
  processorShare,
  sharedResources,
  updateResources,
} from "../../shim-client/windows-limits.ts";
import { runExec } from "../../shim-client/windows-programs.ts";
import { withHost, withNetworks } from "../networks.ts";
import {
  createContainer,
  type WindowsCase,
  type WindowsCaseContext,
  type WindowsContainerOptions,
  withWindowsContainer,
  withWindowsPod,
} from "../windows/windows-pods.ts";
import { assertRefused, runToEnd } from "./protocol.ts";

const { Statistics } = containerd.runhcs.stats.v1;
const mebibyte = 2 ** 20;
const hostProcess = "microsoft.com/hostprocess-container";
const waits = "C:\\probe.exe wait";

async function mounts(context: WindowsCaseContext): Promise<void> {
  const [readable, writable, files] = ["readable", "writable", "files"].map((name) => join(context.directory, name));
  for (const folder of [readable, writable, files] as string[]) mkdirSync(folder);
  writeFileSync(join(readable as string, "given.txt"), "given\r\n");
  writeFileSync(join(files as string, "single.txt"), "single\r\n");
  writeFileSync(join(files as string, "neighbour.txt"), "neighbour\r\n");
  const specification = {
    mounts: [
      { source: readable, destination: "C:\\given\\folder", options: ["ro"] },
      { source: writable, destination: "C:\\written" },
      { source: join(files as string, "single.txt"), destination: "C:\\files\\alone.txt", options: ["ro"] },
      { source: "sandbox:///shared", destination: "C:\\shared" },
    ],
  };
  const work = async (container: PodContainer): Promise<void> => {
    const told = async (execId: string, commandLine: string): Promise<string> => {
      const { status, stdout, stderr } = await runExec(container, execId, commandLine);
      return `${status} ${stdout}${stderr}`;
    };
    assert.equal(await told("read", "cmd /c type C:\\given\\folder\\given.txt"), "0 given\r\n");
    assert.match(await told("refused", "cmd /c echo x>C:\\given\\folder\\new.txt"), /Access denied/);
    assert.equal(existsSync(join(readable as string, "new.txt")), false);
    assert.equal(await told("write", "cmd /c echo written>C:\\written\\new.txt"), "0 ");
    assert.equal(readFileSync(join(writable as string, "new.txt"), "latin1"), "written\r\n");
    assert.equal(await told("single", "cmd /c type C:\\files\\alone.txt"), "0 single\r\n");
    assert.match(await told("neighbour", "cmd /c dir /b C:\\files"), /^0 alone\.txt\r\n$/);
    assert.equal(await told("share", "cmd /c echo of the pod>C:\\shared\\a.txt"), "0 ");
  };
  await withWindowsPod(context, async (pod) => {
    for (const id of ["first", "second"]) {
      const container = await createContainer(context, pod, waits, { id, specification });
      await container.start();
      if (id === "second") {
        const seen = await runExec(container, "seen", "cmd /c type C:\\shared\\a.txt");
        assert.equal(seen.stdout, "of the pod\r\n");
      }
      await work(container);
      await container.kill(9);
      await container.wait();
      await container.delete();
      rmSync(join(writable as string, "new.txt"));
    }
  });
}

async function namedPipe(context: WindowsCaseContext): Promise<void> {
  const path = hostPipePath(dirname(defaultHostSocket), "\\\\.\\pipe\\uvm-shim-e2e");
  assert.ok(path !== undefined, "pipes of the emulated host are sockets");
  mkdirSync(dirname(path), { recursive: true });
  const server = createServer((socket) => {
    socket.once("data", (line) => socket.end(`heard "${line.toString("latin1")}"`));
  });
  await new Promise<void>((resolve, reject) => server.once("error", reject).listen(path, resolve));
  try {
    const pipe = { source: "\\\\.\\pipe\\uvm-shim-e2e", destination: "\\\\.\\pipe\\inside" };
    const specification = { mounts: [pipe] };
    const work = async (container: PodContainer): Promise<void> => {
      for (const execId of ["first", "second"]) {
        const { status, stdout } = await runExec(container, execId, "C:\\guest-program.exe pipe \\\\.\\pipe\\inside");
        assert.deepEqual({ status, stdout }, { status: 0, stdout: 'answer heard "from the container"\r\n' });
      }
    };
    await withWindowsContainer(context, waits, work, { specification });
  } finally {
    await new Promise((resolve) => server.close(resolve));
    rmSync(dirname(path), { recursive: true });
  }
}

async function limits(context: WindowsCaseContext): Promise<void> {
  const { resources, allowed, tooMuch, more } = limitedResources;
  const work = async (container: PodContainer, pod: Pod): Promise<void> => {
    assert.equal(await canTakeMemory(container, "little", allowed), true);
    assert.equal(await canTakeMemory(container, "much", tooMuch), false);
    assert.equal(await processorCount(container, "one"), 1);
    await updateResources(pod, container, more);
    assert.equal(await canTakeMemory(container, "more", tooMuch), true);
    const wrong = updateResources(pod, container, { memory: { limit: "much" } });
    await assertRefused(wrong, "InvalidArgument", "memory.limit");
  };
  await withWindowsContainer(context, waits, work, { specification: { windows: { resources } } });
}

async function shareOfProcessors(context: WindowsCaseContext): Promise<void> {
  const work = async (container: PodContainer): Promise<void> => {
    const share = await processorShare(container, "work");
    assert.ok(
      share > 0 && share < largestShare,
      `the program had ${share} hundredths of a processor; expected about 25`,
    );
  };
  await withWindowsContainer(context, waits, work, { specification: { windows: { resources: sharedResources } } });
}

async function network(context: WindowsCaseContext): Promise<void> {
  await withNetworks(async (plan) => {
    const created = await plan.network("windows", "10.41.0.0/24", "10.42.0.0/24");
    const namespace = await plan.namespace();
    for (const [Name, IpAddress] of [
      ["pod_eth0", "10.41.0.2"],
      ["pod_eth1", "10.42.0.2"],
    ] as const) {
      await plan.endpoint(namespace, created, { Name, IpConfigurations: [{ IpAddress, PrefixLength: 24 }] });
    }
    const specification = { windows: { network: { networkNamespace: namespace } } };
    const work = async (container: PodContainer): Promise<void> => {
      const { stdout } = await runExec(container, "addresses", "C:\\guest-program.exe addresses");
      assert.deepEqual(stdout.trim().split("\r\n").sort(), ["address 10.41.0.2", "address 10.42.0.2"]);
    };
    await withWindowsContainer(context, waits, work, { specification, pod: { networkNamespace: namespace } });
  });
}

async function statistics(context: WindowsCaseContext): Promise<void> {
  await withWindowsContainer(context, waits, async (container, pod) => {
    const measure = async (id: string) => {
      const { stats } = await pod.shim.call(Task, "Stats", { id });
      assert.equal(stats?.type_url, "containerd.runhcs.stats.v1.Statistics");
      return Statistics.decode(stats.value);
    };
    const before = await measure(container.id);
    await runExec(container, "work", "C:\\guest-program.exe work 300");
    const after = await measure(container.id);
    const runtime = (of: typeof before): bigint => BigInt(of.windows?.processor?.totalRuntimeNs ?? 0);
    const spent = runtime(after) - runtime(before);
    assert.ok(spent > 100_000_000n && spent < 5_000_000_000n, `${spent} ns for 300 ms of work`);
    const memory = Number(after.windows?.memory?.memoryUsageCommitBytes ?? 0);
    assert.ok(memory > mebibyte && memory < 1024 * mebibyte, `${memory} bytes`);
    assert.ok(Number(after.windows?.uptimeNs ?? 0) > 300_000_000, "the container runs since its start");
    const ofPod = await measure("pod");
    assert.ok(Number(ofPod.vm?.memory?.workingSetBytes ?? 0) > 0, "the pod's statistics are the VM's");
    const { processes } = await pod.shim.call(Task, "Pids", { id: container.id });
    assert.ok(processes.length > 0, "the container's processes are listed");
  });
}

const credentialSpecification = JSON.stringify({
  CmsPlugins: ["ActiveDirectory"],
  DomainJoinConfig: { DnsName: "pods.test", MachineAccountName: "webapp", NetBiosName: "PODS" },
  ActiveDirectoryConfig: { GroupManagedServiceAccounts: [{ Name: "webapp", Scope: "pods.test" }] },
});

async function groupManagedAccount(context: WindowsCaseContext): Promise<void> {
  const windows = { credentialSpec: credentialSpecification };
  await withHost(async (host) => {
    const guards = async () => (await host.windows?.credentialGuards())?.map(({ Id }) => Id);
    const work = async (container: PodContainer): Promise<void> => assert.deepEqual(await guards(), [container.id]);
    await withWindowsContainer(context, waits, work, { specification: { windows } });
    assert.deepEqual(await guards(), []);
  });
}

async function hostProcesses(context: WindowsCaseContext): Promise<void> {
  const specification = { annotations: { [hostProcess]: "true" } };
  await withWindowsPod(context, async (pod) => {
    const commandLine = "cmd /c if exist C:\\hpc\\probe.exe (if not exist C:\\probe.exe echo in the VM)";
    const container = await createContainer(context, pod, commandLine, { specification });
    const { status, stdout } = await runToEnd(container);
    assert.deepEqual({ status, stdout }, { status: 0, stdout: "in the VM\r\n" });
  });
}

type WrongSpecification = NonNullable<WindowsContainerOptions["specification"]>;

async function wrongSpecifications(context: WindowsCaseContext): Promise<void> {
  await withWindowsPod(context, async (pod) => {
    const windows = (fields: object) => ({ windows: fields });
    const mount = (fields: object) => ({ mounts: [fields] });
    const wrong: readonly (readonly [specification: WrongSpecification, ...words: string[]])[] = [
      [windows({ resources: { memory: { limit: "1" } } }), "windows.resources.memory.limit"],
      [windows({ resources: { cpu: { count: 1, maximum: 1 } } }), "windows.resources.cpu"],
      [windows({ network: { networkNamespace: "pod" } }), "windows.network.networkNamespace"],
      [windows({ credentialSpec: 1 }), "windows.credentialSpec"],
      [windows({ devices: [{ id: "x", idType: "class" }] }), "windows.devices[0]", "class"],
      [mount({ destination: "C:\\x" }), "mounts[0].source"],
      [mount({ source: join(context.directory, "absent"), destination: "C:\\x" }), "absent"],
      [mount({ source: "uvm://C:\\x", destination: "C:\\x" }), "mounts[0].source", "uvm://"],
      [mount({ source: "/", destination: "x", type: "tmpfs" }), "mounts[0].type", "tmpfs"],
      [{ root: { path: "", readonly: true } }, "root.readonly"],
    ];
    for (const [specification, ...words] of wrong) {
      const created = createContainer(context, pod, waits, { specification });
      await assertRefused(created, ["InvalidArgument", "NotFound"], ...words);
    }
    assert.equal((await runToEnd(await createContainer(context, pod, "cmd /c exit 7"))).status, 7);
  });
}

export const windowsResourceCases: readonly WindowsCase[] = [
  { name: "windows: folders to read and to write, a single file, a folder of the pod", run: mounts },
  { name: "windows: a named pipe of the host", run: namedPipe },
  { name: "windows: memory and processors as a program sees them, and an update", run: limits },
  { name: "windows: a share of the processors", run: shareOfProcessors },
  { name: "windows: a network with two endpoints", run: network },
  { name: "windows: statistics of a container and of the pod, and its processes", run: statistics },
  { name: "windows: a group managed service account", run: groupManagedAccount },
  { name: "windows: a host process container", run: hostProcesses },
  { name: "windows: wrong specifications are refused by field", run: wrongSpecifications },
];
