import { posix } from "node:path";
import type { OciMount } from "@uvm-shim/hcs-schema";
import { shmSizeKey } from "../plan/annotations.ts";
import type { PodSettings } from "../plan/options.ts";
import type { ContainerSpecification } from "./specification.ts";

const resolvConf = "/etc/resolv.conf";
const sharedMemory = "/dev/shm";
/** A folder in memory that the guest provides for the pod. */
const memoryOfPod = "sandbox-tmp:///shm";
/**
 * The guest's folder for these, in the bundle of the sandbox container. Without a size they may use all of the VM's
 * memory.
 */
const memoryFolder = "sandboxTmpfsMounts";
/** Their path in the sandbox container, in a file system that it always has. */
const memoryInSandbox = "/dev/pod";
/** The default in specifications of containers. */
const defaultMemoryKib = "65536";

/** Adds what containerd leaves to the sandboxer: the pod's resolv.conf and /dev/shm for each workload. */
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
      // Read-only, since one container must not change the file of all.
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
 * Creates the pod's /dev/shm as a file system with a size, in the sandbox container: workloads that share it cannot. It
 * is mounted below the guest's folders for the pod with shared propagation, so that the guest sees it.
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

/** A sandbox container's specification with the memory file system that it has for its pod. */
export interface SandboxMemory {
  readonly specification: ContainerSpecification;
  /** Mounts with paths of the guest. */
  readonly mounts: readonly OciMount[];
}
