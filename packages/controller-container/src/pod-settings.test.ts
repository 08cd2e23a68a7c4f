import { expect, it } from "vitest";
import { withPodSettings } from "./pod-settings.ts";

const specification = {
  ociVersion: "1.0.2",
  process: { args: ["true"], cwd: "/" },
  root: { path: "rootfs" },
  mounts: [{ destination: "/proc", type: "proc" }],
  linux: { sysctl: { "net.a": "container's" } },
  mayUseAllDevices: false,
  containerAnnotations: {
    isPrivileged: false,
    gpuVhdPath: undefined,
    crossing: {
      "io.kubernetes.cri.container-type": "container",
      "io.kubernetes.cri.sandbox-id": "pod",
      "io.microsoft.lcow.shm.size-kb": "64",
    },
  },
};
const pod = { hostname: "pod", resolvConfPath: "/bundle/resolv.conf", sysctls: { "net.a": "pod's", "net.b": "pod's" } };

it("a container of a pod has the pod's name, resolv.conf and settings where it has none", () => {
  expect(withPodSettings(specification, pod)).toEqual({
    ...specification,
    hostname: "pod",
    mounts: [
      { destination: "/proc", type: "proc" },
      { destination: "/etc/resolv.conf", type: "bind", source: "/bundle/resolv.conf", options: ["rbind", "ro"] },
    ],
    containerAnnotations: { isPrivileged: false, crossing: { "io.microsoft.lcow.shm.size-kb": "64" } },
    linux: { sysctl: { "net.a": "container's", "net.b": "pod's" } },
  });
});

it("a container keeps what it has", () => {
  const mounts = [{ destination: "/etc//resolv.conf", type: "bind", source: "/mine" }];
  const own = { ...specification, hostname: "mine", mounts };
  expect(withPodSettings(own, pod)).toMatchObject({ hostname: "mine", mounts });
  expect(withPodSettings(own, undefined)).toBe(own);
  expect(withPodSettings(specification, { sysctls: {} })).not.toHaveProperty("hostname");
});
