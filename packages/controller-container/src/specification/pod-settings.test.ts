import { expect, it } from "vitest";
import { withMemoryOfPod, withPodSettings } from "./pod-settings.ts";

const shm = { destination: "/dev/shm", type: "tmpfs", source: "shm", options: ["size=65536k"] };
const specification = {
  ociVersion: "1.0.2",
  process: { args: ["true"], cwd: "/" },
  root: { path: "rootfs" },
  mounts: [{ destination: "/proc", type: "proc" }, shm],
  linux: { namespaces: [{ type: "ipc", path: "/proc/42/ns/ipc" }] },
  deviceRules: [],
  mayUseAllDevices: false,
  containerAnnotations: { type: "container" as const, isPrivileged: false, gpuVhdPath: undefined, forGuest: {} },
};
const pod = { resolvConfPath: "/bundle/resolv.conf", sharesMemory: true };

it("a container of a pod gets the pod's resolv.conf if it has none, and the pod's shared memory", () => {
  expect(withPodSettings(specification, pod)).toEqual({
    ...specification,
    mounts: [
      { destination: "/proc", type: "proc" },
      {
        destination: "/dev/shm",
        type: "bind",
        source: "sandbox-tmp:///shm",
        options: ["rbind", "nosuid", "nodev", "noexec"],
      },
      { destination: "/etc/resolv.conf", type: "bind", source: "/bundle/resolv.conf", options: ["rbind", "ro"] },
    ],
  });
});

it("a container keeps its own mounts", () => {
  const mounts = [{ destination: "/etc//resolv.conf", type: "bind", source: "/mine" }];
  expect(withPodSettings({ ...specification, mounts }, pod)).toMatchObject({ mounts });
  const own = [{ destination: "/dev/shm", type: "bind", source: "/mine" }];
  expect(withPodSettings({ ...specification, mounts: own }, { sharesMemory: true })).toMatchObject({ mounts: own });
});

it("memory is shared along with the IPC namespace, and not otherwise", () => {
  const alone = { ...specification, linux: { namespaces: [{ type: "ipc" }] } };
  expect(withPodSettings(alone, { sharesMemory: true }).mounts).toContain(shm);
  expect(withPodSettings(specification, {}).mounts).toContain(shm);
});

it("the shared memory of a pod has a size, which an annotation of the pod may set", () => {
  const { specification: sandbox, mounts } = withMemoryOfPod(specification, "/run/gcs/pods/p1/p1");
  expect(sandbox.linux.rootfsPropagation).toBe("rshared");
  expect(mounts).toEqual([
    {
      destination: "/dev/pod",
      type: "bind",
      source: "/run/gcs/pods/p1/p1/sandboxTmpfsMounts",
      options: ["rbind", "rshared", "nosuid", "nodev", "noexec"],
    },
    {
      destination: "/dev/pod/shm",
      type: "tmpfs",
      source: "shm",
      options: ["nosuid", "nodev", "noexec", "mode=1777", "size=65536k"],
    },
  ]);
  const forGuest = { "io.microsoft.lcow.shm.size-kb": "1024" };
  const annotated = {
    ...specification,
    containerAnnotations: { ...specification.containerAnnotations, forGuest },
  };
  expect(withMemoryOfPod(annotated, "/b").mounts[1]?.options).toContain("size=1024k");
});
