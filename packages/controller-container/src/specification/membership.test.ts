import { describe, expect, it } from "vitest";
import type { LinuxContainerOptions } from "../plan/options.ts";
import { ContainerBench, noStdio, overlayMount, specification } from "../testing/index.ts";

const type = "io.kubernetes.cri.container-type";
const sandboxId = "io.kubernetes.cri.sandbox-id";
const skipNetwork = "io.microsoft.cri.skip-pod-networking";
const paths = (pid: number) =>
  Object.entries({ network: "net", ipc: "ipc", uts: "uts", pid: "pid" }).map(([kind, name]) => ({
    type: kind,
    path: `/proc/${pid}/ns/${name}`,
  }));
const own = (...types: readonly string[]) => types.map((kind) => ({ type: kind }));
const sandbox = { anchor: () => ({ isSandbox: true, pid: 42 }) };
const loner = { anchor: () => ({ isSandbox: false, pid: 42 }) };

const sent = async (changes: Parameters<typeof specification>[0], options: Partial<LinuxContainerOptions> = {}) => {
  const bench = new ContainerBench(undefined, options);
  await bench.created([overlayMount], specification(changes));
  const { hostname, annotations, linux, windows } = bench.guest.settings[0]?.OciSpecification ?? {};
  return { hostname, annotations, namespaces: linux?.namespaces, windows, warnings: bench.warnings };
};
const refusal = async (
  changes: Parameters<typeof specification>[0],
  options: Partial<LinuxContainerOptions> = {},
): Promise<unknown> => {
  const bench = new ContainerBench(undefined, options);
  const request = { spec: specification(changes), rootfs: [overlayMount], stdio: noStdio };
  const error = await bench.controller.create(request).catch((thrown: unknown) => thrown);
  expect(bench.leftovers).toEqual([]);
  return error;
};

describe("namespaces of a workload", () => {
  const workload = { [type]: "container", [sandboxId]: "p1" };

  it("have the paths that CRI gives, since their process is one of the guest", async () => {
    const namespaces = [...own("mount", "cgroup"), ...paths(42)];
    expect(await sent({ annotations: workload, hostname: "", linux: { namespaces } }, sandbox)).toMatchObject({
      namespaces,
      hostname: undefined,
      annotations: workload,
      warnings: [],
    });
  });

  it("are its own if CRI gives no path", async () => {
    const namespaces = own("mount", "pid", "network", "ipc", "uts");
    expect(await sent({ annotations: workload, linux: { namespaces } }, sandbox)).toMatchObject({ namespaces });
  });

  it.each([[workload], [{}]])("are its own, with the pod's network, if they are omitted: %j", async (annotations) => {
    const [network] = paths(42);
    const left = [network, ...own("ipc", "uts")];
    expect(await sent({ annotations, linux: { namespaces: own("mount") } }, sandbox)).toMatchObject({
      namespaces: [...own("mount"), ...left],
    });
    expect(await sent({ annotations, linux: {} }, sandbox)).toMatchObject({ namespaces: left });
    expect(await sent({ annotations, linux: { namespaces: [] } }, loner)).toMatchObject({ namespaces: left });
    const ended = { anchor: () => ({ isSandbox: true }) };
    expect(await sent({ annotations, linux: {} }, ended)).toMatchObject({ namespaces: own("ipc", "uts") });
  });

  it("are the pod's if they are named as those of process 1, and unchanged for other processes", async () => {
    const [network, ipc, uts] = paths(42);
    expect(await sent({ linux: { namespaces: paths(1) } }, sandbox)).toMatchObject({
      namespaces: [network, ipc, uts, { type: "pid", path: "/proc/1/ns/pid" }],
    });
    expect(await sent({ linux: { namespaces: paths(12) } }, sandbox)).toMatchObject({ namespaces: paths(12) });
    const ended = { anchor: () => ({ isSandbox: true }) };
    expect(await sent({ linux: { namespaces: paths(1) } }, ended)).toMatchObject({ namespaces: paths(1) });
  });

  it("are its own for a client without pods that names none, except for the network's: NICs are in one namespace", async () => {
    const namespaces = own("mount", "network", "ipc", "uts", "pid");
    const [network] = paths(42);
    expect(await sent({ linux: { namespaces } }, sandbox)).toMatchObject({
      namespaces: [{ type: "mount" }, network, ...own("ipc", "uts", "pid")],
      annotations: workload,
    });
  });

  it("are the pod's for a client without pods that names them by path", async () => {
    const namespaces = [{ type: "mount" }, ...paths(42)];
    expect(await sent({ linux: { namespaces } }, sandbox)).toMatchObject({ namespaces, annotations: workload });
  });

  it("for the host's network are the pod's", async () => {
    const namespaces = [{ type: "network", path: "/var/run/netns/cni-1" }];
    const [network] = paths(42);
    expect(await sent({ annotations: workload, linux: { namespaces } }, sandbox)).toMatchObject({
      namespaces: [network, ...own("ipc", "uts")],
    });
  });

  it("are refused if they are the host's", async () => {
    const namespaces = [{ type: "pid" }, { type: "ipc", path: "/run/ipc/1" }];
    expect(await refusal({ linux: { namespaces } }, sandbox)).toMatchObject({
      code: "InvalidArgument",
      message: expect.stringContaining('linux.namespaces[1].path (ipc) is "/run/ipc/1", a path of the host'),
    });
  });

  it.each([
    [paths(42), "the container shares the UTS namespace of another"],
    [own("uts"), "the guest sets no name for containers of a pod"],
  ])("give the container no name of its own, with a warning (%o)", async (namespaces, reason) => {
    expect(await sent({ hostname: "mine", linux: { namespaces } }, sandbox)).toMatchObject({
      hostname: undefined,
      warnings: [`hostname "mine" has no effect: ${reason}`],
    });
  });
});

describe("namespaces of a sandbox or a standalone container", () => {
  it.each([["sandbox"], [undefined]])("(%s) are its own even if the network's is one of the host", async (of) => {
    const annotations = of === undefined ? {} : { [type]: of };
    const namespaces = [...own("mount", "uts"), { type: "network", path: "/var/run/netns/cni-1" }];
    expect(await sent({ annotations, hostname: "pod", linux: { namespaces } }, { id: "p1" })).toMatchObject({
      namespaces: own("mount", "uts", "network"),
      hostname: "pod",
    });
  });

  it("cannot be those of a process, since the VM is new", async () => {
    const namespaces = [{ type: "pid", path: "/proc/7/ns/pid" }];
    expect(await refusal({ linux: { namespaces } }, { id: "p1" })).toMatchObject({
      code: "InvalidArgument",
      message: expect.stringContaining("expected no path: the VM of this container is new"),
    });
  });

  it("are the VM's if they are omitted, and so is the host name", async () => {
    expect(await sent({ hostname: "box", linux: { namespaces: own("mount") } }, { id: "p1" })).toMatchObject({
      namespaces: own("mount"),
      hostname: undefined,
    });
  });

  it("are its own except for the network's if another container came first: NICs are in one namespace", async () => {
    const namespaces = own("mount", "uts", "ipc", "network");
    const [network] = paths(42);
    expect(await sent({ hostname: "mine", linux: { namespaces } }, loner)).toMatchObject({
      namespaces: [...own("mount", "uts", "ipc"), network],
      hostname: "mine",
      annotations: {},
    });
    const ended = { anchor: () => ({ isSandbox: false }) };
    expect(await sent({ linux: { namespaces } }, ended)).toMatchObject({ namespaces });
  });
});

describe("a container without a host name of its own", () => {
  const given = { hostName: "node", id: "p1" };
  const annotations = { [type]: "sandbox" };

  it.each([["sandbox"], [undefined]])("(%s) has the host's name, in its own namespace", async (of) => {
    const changes = { annotations: of === undefined ? {} : { [type]: of }, hostname: "" };
    expect(await sent({ ...changes, linux: { namespaces: own("mount", "pid") } }, given)).toMatchObject({
      hostname: "node",
      namespaces: own("mount", "pid", "uts"),
      warnings: [],
    });
    // Without one on the host either it would be a copy of the host's.
    expect(await sent({ ...changes, linux: { namespaces: own("mount", "uts") } }, given)).toMatchObject({
      hostname: "node",
      namespaces: own("mount", "uts"),
    });
  });

  it("has no other name, with a warning", async () => {
    expect(await sent({ annotations, hostname: "mine", linux: { namespaces: own("mount") } }, given)).toMatchObject({
      hostname: "node",
      warnings: ['hostname "mine" has no effect: without a UTS namespace the container has the host\'s name'],
    });
  });

  it("is never one of a pod with its own network, named or not, nor a workload", async () => {
    const namespaces = own("mount", "uts", "network");
    expect(await sent({ annotations, hostname: "", linux: { namespaces } }, given)).toMatchObject({
      hostname: undefined,
    });
    expect(await sent({ annotations, hostname: "pod", linux: { namespaces: own("uts") } }, given)).toMatchObject({
      hostname: "pod",
    });
    const workload = { annotations: { [type]: "container" }, hostname: "", linux: { namespaces: own("mount") } };
    expect(await sent(workload, { ...sandbox, hostName: "node" })).toMatchObject({
      hostname: undefined,
      namespaces: [...own("mount"), paths(42)[0], ...own("ipc", "uts")],
    });
  });
});

describe("a pod", () => {
  it("has one sandbox", async () => {
    expect(await refusal({ annotations: { [type]: "sandbox" } }, sandbox)).toMatchObject({
      code: "InvalidArgument",
      message: expect.stringContaining(`annotation ${type} is "sandbox", expected container`),
    });
  });

  it("is visible to later containers as soon as its first one runs", async () => {
    const bench = new ContainerBench(undefined, { id: "p1" });
    expect(bench.controller.anchor).toEqual({ isSandbox: false, pid: undefined });
    await bench.created([overlayMount], specification({ annotations: { [type]: "sandbox" } }));
    expect(bench.controller.anchor).toEqual({ isSandbox: true, pid: undefined });
    await bench.controller.init.start();
    expect(bench.controller.anchor).toEqual({ isSandbox: true, pid: 100 });
    bench.initProcess.exit(0);
    await bench.controller.init.wait();
    expect(bench.controller.anchor).toEqual({ isSandbox: true, pid: undefined });
  });
});

describe("the network that crosses to the guest", () => {
  const network = (hasInterfaces: boolean) => ({ namespaceId: "guid", hasInterfaces: () => hasInterfaces });
  const windows = { network: { networkNamespace: "guid" } };
  const annotations = { [type]: "sandbox" };

  it("has an id with every container that may hold it: the empty id counts too, and is held once", async () => {
    expect(await sent({}, { network: network(false) })).toMatchObject({ windows, annotations: {} });
    expect(await sent({ annotations }, { network: network(true) })).toMatchObject({ windows });
    const workload = { [type]: "container" };
    expect(await sent({ annotations: workload }, { ...sandbox, network: network(true) })).toMatchObject({
      windows: undefined,
    });
  });

  it("is skipped by a sandbox without a NIC", async () => {
    const crossed = async (hasInterfaces: boolean) =>
      (await sent({ annotations }, { network: network(hasInterfaces) })).annotations;
    expect(await crossed(false)).toEqual({ [type]: "sandbox", [sandboxId]: "p1", [skipNetwork]: "true" });
    expect(await crossed(true)).toEqual({ [type]: "sandbox", [sandboxId]: "p1" });
  });
});

describe("a host name that the kernel would refuse", () => {
  const longest = "a".repeat(64);
  const linux = { namespaces: own("mount", "uts") };

  it.each(["hostname", "domainname"])("as a %s is refused before anything is acquired", async (field) => {
    expect(await refusal({ [field]: `${longest}b`, linux }, { id: "p1" })).toMatchObject({
      code: "InvalidArgument",
      message: expect.stringMatching(new RegExp(`config.json: ${field} .*at most 64`)),
    });
  });

  it("is longer than the longest accepted one", async () => {
    expect(await sent({ hostname: longest, linux }, { id: "p1" })).toMatchObject({ hostname: longest });
  });
});

it("a pod whose CRI sandbox container asks for the host's IPC namespace is refused", async () => {
  const bind = { destination: "/dev/shm", type: "bind", source: "/dev/shm", options: ["rbind", "ro"] };
  const changes = { annotations: { [type]: "sandbox" }, mounts: [bind] };
  expect(await refusal({ ...changes, linux: { namespaces: own("mount", "pid") } }, { id: "p1" })).toMatchObject({
    code: "InvalidArgument",
    message: expect.stringContaining("config.json: mounts[0].source is the host's /dev/shm, expected the pod's own"),
  });
});
