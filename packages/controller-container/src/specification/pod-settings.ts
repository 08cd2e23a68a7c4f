import { posix } from "node:path";
import type { OciMount } from "@uvm-shim/hcs-schema";
import { shmSizeKey } from "../plan/annotations.ts";
import type { PodSettings } from "../plan/options.ts";
import type { ContainerSpecification } from "./specification.ts";

const resolvConf = "/etc/resolv.conf";
const sharedMemory = "/dev/shm";
/** A folder in memory that the guest keeps for the pod. */
const memoryOfPod = "sandbox-tmp:///shm";
/** Where the guest keeps such folders, below the bundle of the sandbox container. All of them have the VM's memory. */
const memoryFolder = "sandboxTmpfsMounts";
/** What a sandbox's own view of them is, in a file system that it has in any case. */
const memoryInSandbox = "/dev/pod";
/** As specifications of containers have it. */
const defaultMemoryKib = "65536";

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

/**
 * The pod's /dev/shm as a file system of a size, which no container can bring along that shares it with others. The
 * sandbox container makes it among the folders that the guest keeps, from where it spreads to the guest itself.
 */
export function withMemoryOfPod(specification: ContainerSpecification, bundle: string): SandboxMemory {
  const kibibytes = specification.containerAnnotations.forGuest[shmSizeKey] ?? defaultMemoryKib;
  return {
    specification: { ...specification, linux: { ...specification.linux, rootfsPropagation: "rshared" } },
    mounts: [
      {
        destination: memoryInSandbox,
        type: "bind",
        source: posix.join(bundle, memoryFolder),
        options: ["rbind", "rshared", "nosuid", "nodev", "noexec"],
      },
      {
        destination: `${memoryInSandbox}/shm`,
        type: "tmpfs",
        source: "shm",
        options: ["nosuid", "nodev", "noexec", "mode=1777", `size=${kibibytes}k`],
      },
    ],
  };
}

export interface SandboxMemory {
  readonly specification: ContainerSpecification;
  /** With places of the guest as they are named there. */
  readonly mounts: readonly OciMount[];
}
