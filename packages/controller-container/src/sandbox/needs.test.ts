import { describe, expect, it } from "vitest";
import { ContainerBench, noStdio, overlayMount, specification } from "../testing/index.ts";
import { needOfPod, sandboxOfOne } from "./needs.ts";

const privileged = "io.microsoft.virtualmachine.lcow.privileged";
const type = "io.kubernetes.cri.container-type";

describe("features that guests offer only to containers of a pod", () => {
  it.each([
    [{ annotations: { [privileged]: "true" } }, `annotation ${privileged}`],
    [{ annotations: { "io.microsoft.lcow.shm.size-kb": "64" } }, "annotation io.microsoft.lcow.shm.size-kb"],
    [{ annotations: { "io.microsoft.lcow.rlimitcore": "0;0" } }, "annotation io.microsoft.lcow.rlimitcore"],
    [{ process: { user: { uid: 0, gid: 0, username: "worker" } } }, "process.user.username"],
    [{ windows: { devices: [{ id: "A", idType: "vpci" }] } }, "windows.devices"],
    [{ linux: { devices: [{ path: "/dev/fuse", type: "c" }] } }, "linux.devices"],
    [
      { linux: { resources: { devices: [{ allow: false }, { allow: true, access: "rwm" }] } } },
      "linux.resources.devices",
    ],
    [{ mounts: [{ destination: "/x" }, { destination: "/y", source: "uvm:///run" }] }, "mounts[1]"],
    [{ mounts: [{ destination: "/x", source: "sandbox://x" }] }, "mounts[0]"],
    [{ mounts: [{ destination: "/x", source: "sandbox-tmp://x" }] }, "mounts[0]"],
    [{ mounts: [{ destination: "/x", source: "hugepages://2M/x" }] }, "mounts[0]"],
    [{ mounts: [{ destination: "blockdev:///dev/x", source: "/disk" }] }, "mounts[0]"],
  ])("%j needs a pod", (given, need) => {
    expect(needOfPod(given)).toBe(need);
    const annotations =
      "annotations" in given ? { ...given.annotations, [type]: "container" } : { [type]: "container" };
    expect(needOfPod({ ...given, annotations })).toBeUndefined();
  });

  it.each([
    [undefined],
    [{}],
    [{ process: { user: { uid: 7, gid: 7, username: "" } } }],
    [{ linux: { resources: { devices: [{ allow: true, type: "c", major: 1, minor: 3 }] } } }],
    [{ linux: null, mounts: "none", windows: 7 }],
    [{ mounts: [{ destination: "/data", type: "bind", source: "/data" }] }],
    [{ annotations: { [privileged]: "false" } }],
    [{ annotations: { [privileged]: "F" } }],
  ])("%j needs none", (given) => {
    expect(needOfPod(given)).toBeUndefined();
  });

  it("may be asked for by the defaults for all containers", () => {
    expect(needOfPod({}, { [privileged]: "true" })).toBe(`annotation ${privileged}`);
    expect(needOfPod({ annotations: { [privileged]: "false" } }, { [privileged]: "true" })).toBeUndefined();
  });

  const request = { spec: specification({ process: userByName() }), rootfs: [overlayMount], stdio: noStdio };

  it("are refused to a container that joins the VM of a standalone one", async () => {
    const bench = new ContainerBench(undefined, { anchor: () => ({ isSandbox: false, pid: 7 }) });
    await expect(bench.controller.create(request)).rejects.toMatchObject({
      code: "FailedPrecondition",
      message: expect.stringContaining("process.user.username works only for containers of a pod"),
    });
  });

  it("are not involved if a container only states that it is not privileged", async () => {
    const bench = new ContainerBench(undefined, { anchor: () => ({ isSandbox: false, pid: 7 }) });
    await bench.created([overlayMount], specification({ annotations: { [privileged]: "false" } }));
    expect(bench.warnings).toEqual([]);
  });

  it("are reported as without effect if there can be no pod", async () => {
    const bench = new ContainerBench(undefined, { id: "p1" });
    await bench.controller.create(request);
    expect(bench.warnings).toEqual([
      "process.user.username has no effect: the guest supports it only for containers of a pod",
    ]);
  });

  it("cross with the id of a sandbox that is not the pod's", async () => {
    const anchor = () => ({ isSandbox: true, pid: 7 });
    const bench = new ContainerBench(undefined, { id: "p1", sandboxId: "p1-pod", anchor });
    await bench.controller.create(request);
    expect(bench.guest.settings[0]?.OciSpecification.annotations).toEqual({
      [type]: "container",
      "io.kubernetes.cri.sandbox-id": "p1-pod",
    });
  });
});

it("the sandbox of a single container has its host name, and those of its namespaces that a pod shares", () => {
  const hostNetwork = "io.microsoft.virtualmachine.lcow.hostnetwork";
  const namespaces = ["mount", "uts", "pid", "network"].map((kind) => ({ type: kind, path: "" }));
  const annotations = { [privileged]: "true", [hostNetwork]: "true" };
  expect(sandboxOfOne({ hostname: "box", annotations, linux: { namespaces }, process: { cwd: "/" } })).toEqual({
    specification: { hostname: "box", linux: { namespaces: [{ type: "network" }, { type: "uts" }, { type: "pid" }] } },
    annotations: { [hostNetwork]: "true" },
  });
});

function userByName() {
  return { args: ["sleep", "9"], cwd: "/", user: { uid: 0, gid: 0, username: "worker" } };
}
