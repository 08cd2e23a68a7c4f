import { posix } from "node:path";
import type { OciMount } from "@uvm-shim/hcs-schema";
import type { PodSettings } from "./options.ts";
import type { ContainerSpecification } from "./specification.ts";

const resolvConf = "/etc/resolv.conf";
const sharedMemory = "/dev/shm";
/** A folder in memory that the guest keeps for the pod. */
const memoryOfPod = "sandbox-tmp:///shm";

/** What containerd leaves to the sandboxer of a pod: each workload has the pod's resolv.conf, and its /dev/shm. */
export function withPodSettings(
  specification: ContainerSpecification,
  { resolvConfPath, sharesMemory = false }: PodSettings,
  covered: readonly OciMount[] = [],
): ContainerSpecification {
  const { linux, mounts = [] } = specification;
  const hasOwn = [...mounts, ...covered].some(({ destination }) => posix.normalize(destination) === resolvConf);
  const isIpcShared = linux.namespaces?.some(({ type, path = "" }) => type === "ipc" && path !== "") ?? false;
  return {
    ...specification,
    mounts: [
      ...(sharesMemory && isIpcShared ? mounts.map(sharingMemory) : mounts),
      // What is written for all of the pod's containers is not one container's to change.
      ...(resolvConfPath === undefined || hasOwn
        ? []
        : [{ destination: resolvConf, type: "bind", source: resolvConfPath, options: ["rbind", "ro"] }]),
    ],
  };
}

function sharingMemory(mount: OciMount): OciMount {
  if (posix.normalize(mount.destination) !== sharedMemory || mount.type !== "tmpfs") return mount;
  return {
    destination: sharedMemory,
    type: "bind",
    source: memoryOfPod,
    options: ["rbind", "nosuid", "nodev", "noexec"],
  };
}
