import { hresults } from "@uvm-shim/hcs-schema";
import { describe, expect, it } from "vitest";
import { podPath } from "./pod-cgroup-path.ts";

describe("the path of a pod's cgroup", () => {
  it.each([
    ["/kubepods/burstable/pod1/c1", "/kubepods/burstable/pod1/c1"],
    ["default//c1/", "/default/c1"],
    [
      "kubepods-burstable-pod_1.slice:uvm-shim:c1",
      "/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod_1.slice/uvm-shim-c1.scope",
    ],
    ["system.slice::c1", "/system.slice/c1.scope"],
    ["-.slice:uvm-shim:c1", "/uvm-shim-c1.scope"],
  ])("is read from %j", (name, path) => expect(podPath(name)).toBe(path));

  it.each([
    ["/"],
    ["a/../.."],
    ["a:b"],
    ["a.slice:b:c:d"],
    ["a/b.slice:c:d"],
    ["a.slice:b:"],
    [".slice:b:c"],
    ["a--b.slice:b:c"],
    ["a-.slice:b:c"],
    ["x".repeat(256)],
  ])("is refused in %j", (name) => {
    expect(() => podPath(name)).toThrow(
      expect.objectContaining({ hresult: hresults.E_INVALIDARG, message: expect.stringMatching(/^path: cgroup "/) }),
    );
  });
});
