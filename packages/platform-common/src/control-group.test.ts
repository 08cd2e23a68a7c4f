import { describe, expect, it } from "vitest";
import { controlGroupOf, joinControlGroup } from "./control-group.ts";

const request = { id: "p1", namespace: "k8s.io", bundle: "/b", annotations: {}, makesContainer: true };
const pod = (controlGroupParent: string) => ({ pod: { specification: {}, controlGroupParent } });
const group = { field: "linux.cgroupsPath", path: "/kubepods/pod1/p1" };

/** A host with cgroups, or one that fails with an error of this code. */
function linuxHost(code?: string) {
  const joined: unknown[] = [];
  const joinControlGroup = async (...call: readonly unknown[]): Promise<void> => {
    if (code !== undefined) throw Object.assign(new Error("it said why"), { code });
    joined.push(call.slice(0, 3));
  };
  return { joined, host: { joinControlGroup } };
}

describe("the cgroup of a pod", () => {
  it("is the one that its container's specification names", () => {
    const spec = { linux: { cgroupsPath: "/kubepods/pod1/p1" } };
    expect(controlGroupOf({ ...request, spec, ...pod("/other") })).toEqual(group);
  });

  it("is below the parent that CRI names, with systemd or without", () => {
    const field = "linux.cgroup_parent";
    expect(controlGroupOf({ ...request, ...pod("/kubepods/pod1") })).toEqual({ field, path: "/kubepods/pod1/p1" });
    const slice = "/kubepods.slice/kubepods-pod1.slice";
    expect(controlGroupOf({ ...request, ...pod(slice) })).toEqual({ field, path: "kubepods-pod1.slice:uvm-shim:p1" });
  });

  it.each([[undefined], [{}], [{ linux: null }], [{ linux: { cgroupsPath: "" } }], [{ linux: { cgroupsPath: 7 } }]])(
    "is absent if none is named: %j",
    (spec) => expect(controlGroupOf({ ...request, spec })).toBeUndefined(),
  );

  it("is joined by the VM and the shim, where the host has cgroups", async () => {
    const { joined, host } = linuxHost();
    await joinControlGroup(group, "vm", host, 42);
    await joinControlGroup(undefined, "vm", host, 42);
    await joinControlGroup(group, "vm", {}, 42);
    expect(joined).toEqual([["vm", "/kubepods/pod1/p1", 42]]);
  });

  it("is reported by field and value when it cannot be joined", async () => {
    await expect(joinControlGroup(group, "vm", linuxHost("InvalidArgument").host, 42)).rejects.toMatchObject({
      code: "InvalidArgument",
      message: expect.stringContaining('cannot join cgroup "/kubepods/pod1/p1" (linux.cgroupsPath)'),
    });
    await expect(joinControlGroup(group, "vm", linuxHost("Internal").host, 42)).rejects.toMatchObject({
      code: "Internal",
    });
  });
});
