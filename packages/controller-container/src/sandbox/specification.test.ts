import { describe, expect, it } from "vitest";
import { ContainerBench, noStdio } from "../testing/index.ts";
import { sandboxRootEntries } from "./root.ts";
import { sandboxSpecification } from "./specification.ts";

const rootPath = "/bundle/sandbox-root";
const type = "io.kubernetes.cri.container-type";

describe("a pod's own sandbox container", () => {
  const made = async (specification: unknown, annotations: { readonly [key: string]: string } = {}) => {
    const bench = new ContainerBench(undefined, { id: "p1", sharesRootReadOnly: true });
    bench.files.kinds.set(rootPath, "directory");
    const spec = sandboxSpecification({ rootPath, host: "posix", specification, annotations });
    await bench.controller.create({ spec, rootfs: [], stdio: noStdio });
    return { bench, sent: bench.guest.settings[0]?.OciSpecification };
  };

  it("holds the pod's namespaces, has no capabilities, and a root that is not the VM's", async () => {
    const { bench, sent } = await made(undefined);
    expect(bench.shares.requests).toEqual([{ hostPath: rootPath, readOnly: true }]);
    expect(bench.guest.combinations).toMatchObject([
      { Layers: [{ Path: "/run/mounts/p9/share0" }], ScratchPath: "/run/gcs/pods/p1/p1/scratch/p1" },
    ]);
    expect(sent).toMatchObject({
      root: { path: "/run/gcs/pods/p1/p1/rootfs", readonly: true },
      process: { args: ["/sandbox"], user: { uid: 65535, gid: 65535 }, capabilities: {}, noNewPrivileges: true },
      annotations: { [type]: "sandbox", "io.kubernetes.cri.sandbox-id": "p1" },
    });
    expect(sent?.linux?.namespaces?.map(({ type: kind }) => kind)).toEqual(["mount", "network", "ipc", "uts", "pid"]);
    expect(sent?.linux?.resources).toEqual({});
    await bench.controller.delete();
    expect(bench.leftovers).toEqual([]);
  });

  it("has the pod's name, user, settings, namespaces and annotations", async () => {
    const mapping = { hostID: 1_000_000, containerID: 0, size: 65_536 };
    const specification = {
      hostname: "web-0",
      process: { user: { uid: 7, gid: 8, additionalGids: [9] }, args: ["theirs"], cwd: "/theirs" },
      root: { path: "theirs" },
      mounts: [{ destination: "/theirs", type: "bind", source: "/data" }],
      linux: {
        sysctl: { "net.x": "1" },
        namespaces: [{ type: "uts" }, { type: "cgroup" }, { type: "network", path: "/var/run/netns/cni-1" }],
        uidMappings: [mapping],
        gidMappings: [mapping],
      },
    };
    const annotations = { "io.microsoft.virtualmachine.lcow.hostnetwork": "1", [type]: "container", other: "x" };
    const { sent } = await made(specification, annotations);
    expect(sent).toMatchObject({
      hostname: "web-0",
      process: { args: ["/sandbox"], cwd: "/", user: { uid: 7, gid: 8, additionalGids: [9] } },
      linux: {
        sysctl: { "net.x": "1" },
        namespaces: [{ type: "mount" }, { type: "uts" }, { type: "cgroup" }, { type: "network" }],
        uidMappings: [mapping],
        gidMappings: [mapping],
      },
    });
    expect(sent?.mounts?.map(({ destination }) => destination)).toEqual(["/proc", "/dev"]);
    expect(sent?.annotations).toEqual({
      [type]: "sandbox",
      "io.kubernetes.cri.sandbox-id": "p1",
      "io.microsoft.virtualmachine.lcow.hostnetwork": "true",
    });
  });

  it("creates the memory that the pod's containers share, if they share it", async () => {
    const bench = new ContainerBench(undefined, {
      ...{ id: "p1", sharesRootReadOnly: true, pod: { sharesMemory: true } },
    });
    bench.files.kinds.set(rootPath, "directory");
    const spec = sandboxSpecification({ rootPath, host: "posix", annotations: {} });
    await bench.controller.create({ spec, rootfs: [], stdio: noStdio });
    const sent = bench.guest.settings[0]?.OciSpecification;
    expect(sent?.linux?.rootfsPropagation).toBe("rshared");
    expect(sent?.mounts?.map(({ source, destination }) => [source, destination])).toEqual([
      ["proc", "/proc"],
      ["tmpfs", "/dev"],
      ["/run/gcs/pods/p1/p1/sandboxTmpfsMounts", "/dev/pod"],
      ["shm", "/dev/pod/shm"],
    ]);
    await bench.controller.delete();
    expect(bench.leftovers).toEqual([]);
  });

  it("has the files that the guest opens, and one program", () => {
    const entries = sandboxRootEntries("x64", "posix");
    const paths = entries.map(({ path }) => path);
    expect(paths.toSorted()).toEqual(
      ["dev", "etc", "etc/hostname", "etc/hosts", "etc/resolv.conf", "proc", "sandbox", "sys"].toSorted(),
    );
    expect(paths.indexOf("etc")).toBeLessThan(paths.indexOf("etc/hosts"));
    expect(entries.filter((entry) => entry.kind === "file" && entry.isProgram)).toMatchObject([{ path: "sandbox" }]);
  });

  it("has a program with an extension on hosts whose files have no execute permission", () => {
    const named = sandboxRootEntries("x64", "windows").filter((entry) => entry.kind === "file" && entry.isProgram);
    expect(named).toMatchObject([{ path: "sandbox.exe" }]);
    const spec = sandboxSpecification({ rootPath, host: "windows", annotations: {} });
    expect(spec).toMatchObject({ process: { args: ["/sandbox.exe"] } });
  });

  it.each([
    ["linux", { linux: { namespaces: "all" } }, "linux.namespaces"],
    ["a user", { process: { user: "root" } }, "process.user"],
  ])("is refused by the name of the invalid field: %s", async (_, specification, field) => {
    await expect(made(specification)).rejects.toMatchObject({
      code: "InvalidArgument",
      message: expect.stringContaining(field),
    });
  });
});
