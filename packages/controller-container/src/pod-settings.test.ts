import { expect, it } from "vitest";
import { withPodSettings } from "./pod-settings.ts";

const shm = { destination: "/dev/shm", type: "tmpfs", source: "shm", options: ["size=65536k"] };
const specification = {
  ociVersion: "1.0.2",
  process: { args: ["true"], cwd: "/" },
  root: { path: "rootfs" },
  mounts: [{ destination: "/proc", type: "proc" }, shm],
  linux: { namespaces: [{ type: "ipc", path: "/proc/42/ns/ipc" }] },
  deviceRules: [],
  mayUseAllDevices: false,
  containerAnnotations: { type: "container" as const, isPrivileged: false, gpuVhdPath: undefined, crossing: {} },
};
const pod = { resolvConfPath: "/bundle/resolv.conf", sharesMemory: true };

it("a container of a pod has the pod's resolv.conf where it has none, and its shared memory", () => {
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

it("a container keeps what it has", () => {
  const mounts = [{ destination: "/etc//resolv.conf", type: "bind", source: "/mine" }];
  expect(withPodSettings({ ...specification, mounts }, pod)).toMatchObject({ mounts });
  const own = [{ destination: "/dev/shm", type: "bind", source: "/mine" }];
  expect(withPodSettings({ ...specification, mounts: own }, { sharesMemory: true })).toMatchObject({ mounts: own });
});

it("memory is shared with the namespace for it, and not where it shall not be", () => {
  const alone = { ...specification, linux: { namespaces: [{ type: "ipc" }] } };
  expect(withPodSettings(alone, { sharesMemory: true }).mounts).toContain(shm);
  expect(withPodSettings(specification, {}).mounts).toContain(shm);
});
