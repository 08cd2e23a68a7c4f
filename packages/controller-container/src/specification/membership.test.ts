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

  it("have the paths that CRI gives, as the process is one of the guest", async () => {
    const namespaces = [...own("mount", "cgroup"), ...paths(42)];
    expect(await sent({ annotations: workload, hostname: "", linux: { namespaces } }, sandbox)).toMatchObject({
      namespaces,
      hostname: undefined,
      annotations: workload,
      warnings: [],
    });
  });

  it("are its own where CRI gives no path", async () => {
    const namespaces = own("mount", "pid", "network", "ipc", "uts");
    expect(await sent({ annotations: workload, linux: { namespaces } }, sandbox)).toMatchObject({ namespaces });
  });

  it.each([[workload], [{}]])(
    "are its own, and the pod's network, where they are left out: %j",
    async (annotations) => {
      const [network] = paths(42);
      const left = [network, ...own("ipc", "uts")];
      expect(await sent({ annotations, linux: { namespaces: own("mount") } }, sandbox)).toMatchObject({
        namespaces: [...own("mount"), ...left],
      });
      expect(await sent({ annotations, linux: {} }, sandbox)).toMatchObject({ namespaces: left });
      expect(await sent({ annotations, linux: { namespaces: [] } }, loner)).toMatchObject({ namespaces: left });
      const ended = { anchor: () => ({ isSandbox: true }) };
      expect(await sent({ annotations, linux: {} }, ended)).toMatchObject({ namespaces: own("ipc", "uts") });
    },
  );

  it("are the pod's where they are a host's by the path of its first process, and others as they are", async () => {
    const [network, ipc, uts] = paths(42);
    expect(await sent({ linux: { namespaces: paths(1) } }, sandbox)).toMatchObject({
      namespaces: [network, ipc, uts, { type: "pid", path: "/proc/1/ns/pid" }],
    });
    expect(await sent({ linux: { namespaces: paths(12) } }, sandbox)).toMatchObject({ namespaces: paths(12) });
    const ended = { anchor: () => ({ isSandbox: true }) };
    expect(await sent({ linux: { namespaces: paths(1) } }, ended)).toMatchObject({ namespaces: paths(1) });
  });

  it("are its own where a client that knows no pods names none, but for the network's: NICs are in one place", async () => {
    const namespaces = own("mount", "network", "ipc", "uts", "pid");
    const [network] = paths(42);
    expect(await sent({ linux: { namespaces } }, sandbox)).toMatchObject({
      namespaces: [{ type: "mount" }, network, ...own("ipc", "uts", "pid")],
      annotations: workload,
    });
  });

  it("are the pod's where a client that knows no pods names them by a path", async () => {
    const namespaces = [{ type: "mount" }, ...paths(42)];
    expect(await sent({ linux: { namespaces } }, sandbox)).toMatchObject({ namespaces, annotations: workload });
  });

  it("of the host's network are the pod's", async () => {
    const namespaces = [{ type: "network", path: "/var/run/netns/cni-1" }];
    const [network] = paths(42);
    expect(await sent({ annotations: workload, linux: { namespaces } }, sandbox)).toMatchObject({
      namespaces: [network, ...own("ipc", "uts")],
    });
  });

  it("are refused where they are of the host", async () => {
    const namespaces = [{ type: "pid" }, { type: "ipc", path: "/run/ipc/1" }];
    expect(await refusal({ linux: { namespaces } }, sandbox)).toMatchObject({
      code: "InvalidArgument",
      message: expect.stringContaining('linux.namespaces[1].path (ipc) is "/run/ipc/1", a path of the host'),
    });
  });

  it.each([
    [paths(42), "the container shares the UTS namespace of another"],
    [own("uts"), "the guest sets no name for containers of a pod"],
  ])("have no name of the container's own, which is said (%o)", async (namespaces, reason) => {
    expect(await sent({ hostname: "mine", linux: { namespaces } }, sandbox)).toMatchObject({
      hostname: undefined,
      warnings: [`hostname "mine" has no effect: ${reason}`],
    });
  });
});

describe("namespaces of a sandbox, or of a container that is alone", () => {
  it.each([["sandbox"], [undefined]])("(%s) are its own also where the network's is one of the host", async (of) => {
    const annotations = of === undefined ? {} : { [type]: of };
    const namespaces = [...own("mount", "uts"), { type: "network", path: "/var/run/netns/cni-1" }];
    expect(await sent({ annotations, hostname: "pod", linux: { namespaces } }, { id: "p1" })).toMatchObject({
      namespaces: own("mount", "uts", "network"),
      hostname: "pod",
    });
  });

  it("cannot be those of a process, as nobody knows one of a VM that is new", async () => {
    const namespaces = [{ type: "pid", path: "/proc/7/ns/pid" }];
    expect(await refusal({ linux: { namespaces } }, { id: "p1" })).toMatchObject({
      code: "InvalidArgument",
      message: expect.stringContaining("expected no path: the VM of this container is new"),
    });
  });

  it("are those of the VM where they are left out, and so is the name", async () => {
    expect(await sent({ hostname: "box", linux: { namespaces: own("mount") } }, { id: "p1" })).toMatchObject({
      namespaces: own("mount"),
      hostname: undefined,
    });
  });

  it("but for the network's, where another came first: NICs are in one place", async () => {
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

describe("a container that is not to have a name of its own", () => {
  const given = { hostName: "node", id: "p1" };
  const annotations = { [type]: "sandbox" };

  it.each([["sandbox"], [undefined]])("(%s) has the host's, in a namespace of its own", async (of) => {
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

  it("has no other, which is said", async () => {
    expect(await sent({ annotations, hostname: "mine", linux: { namespaces: own("mount") } }, given)).toMatchObject({
      hostname: "node",
      warnings: ['hostname "mine" has no effect: without a UTS namespace the container has the host\'s name'],
    });
  });

  it("is none of a pod that has a network of its own, of a name or not, and no workload", async () => {
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

  it("is seen by later containers as soon as its first one runs", async () => {
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

describe("the network that the guest is told of", () => {
  const network = (hasInterfaces: boolean) => ({ namespaceId: "guid", hasInterfaces: () => hasInterfaces });
  const windows = { network: { networkNamespace: "guid" } };
  const annotations = { [type]: "sandbox" };

  it("has an id with every container that may hold it: none is an id too, and held once", async () => {
    expect(await sent({}, { network: network(false) })).toMatchObject({ windows, annotations: {} });
    expect(await sent({ annotations }, { network: network(true) })).toMatchObject({ windows });
    const workload = { [type]: "container" };
    expect(await sent({ annotations: workload }, { ...sandbox, network: network(true) })).toMatchObject({
      windows: undefined,
    });
  });

  it("is done without by a sandbox that has no NIC", async () => {
    const crossed = async (hasInterfaces: boolean) =>
      (await sent({ annotations }, { network: network(hasInterfaces) })).annotations;
    expect(await crossed(false)).toEqual({ [type]: "sandbox", [sandboxId]: "p1", [skipNetwork]: "true" });
    expect(await crossed(true)).toEqual({ [type]: "sandbox", [sandboxId]: "p1" });
  });
});

describe("a name that the kernel would refuse", () => {
  const longest = "a".repeat(64);
  const linux = { namespaces: own("mount", "uts") };

  it.each(["hostname", "domainname"])("as a %s is refused before anything is taken", async (field) => {
    expect(await refusal({ [field]: `${longest}b`, linux }, { id: "p1" })).toMatchObject({
      code: "InvalidArgument",
      message: expect.stringMatching(new RegExp(`config.json: ${field} .*at most 64`)),
    });
  });

  it("is not the longest one that it takes", async () => {
    expect(await sent({ hostname: longest, linux }, { id: "p1" })).toMatchObject({ hostname: longest });
  });
});

it("a pod is refused that is to have the node's IPC namespace, as CRI's sandbox container says", async () => {
  const bind = { destination: "/dev/shm", type: "bind", source: "/dev/shm", options: ["rbind", "ro"] };
  const changes = { annotations: { [type]: "sandbox" }, mounts: [bind] };
  expect(await refusal({ ...changes, linux: { namespaces: own("mount", "pid") } }, { id: "p1" })).toMatchObject({
    code: "InvalidArgument",
    message: expect.stringContaining("config.json: mounts[0].source is the host's /dev/shm, expected the pod's own"),
  });
});
