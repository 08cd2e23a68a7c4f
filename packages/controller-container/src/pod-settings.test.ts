import { expect, it } from "vitest";
import { withPodSettings } from "./pod-settings.ts";

const specification = {
  ociVersion: "1.0.2",
  process: { args: ["true"], cwd: "/" },
  root: { path: "rootfs" },
  mounts: [{ destination: "/proc", type: "proc" }],
  annotations: { "io.kubernetes.cri.container-type": "container", "io.kubernetes.cri.container-name": "c" },
  linux: { sysctl: { "net.a": "container's" } },
  mayUseAllDevices: false,
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
    annotations: { "io.kubernetes.cri.container-name": "c" },
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
