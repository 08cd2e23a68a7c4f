import { reservedStep } from "@uvm-shim/container-common";
import type { HostPaths, Refuse, Step } from "@uvm-shim/lifecycle";
import type { AddedMount } from "../options.ts";
import type { WindowsPlanFiles } from "../plan/options.ts";
import type { ContainerShares, GuestContainer } from "../types.ts";

/** What a mount into a running container needs. */
export interface AddedMountSurroundings {
  readonly shares: ContainerShares;
  readonly paths: HostPaths;
  readonly files: WindowsPlanFiles;
}

/** Shares a directory or file of the host and maps it into a running container; the mapping ends with the container. */
export async function addedMountStep(
  { hostPath, containerPath, readOnly }: AddedMount,
  guest: GuestContainer,
  { shares, paths, files }: AddedMountSurroundings,
  refuse: Refuse,
): Promise<Step> {
  if (containerPath === "") throw refuse("InvalidArgument", "containerPath is empty, expected a path in the container");
  if (!paths.isAbsolute(hostPath)) {
    const given = JSON.stringify(hostPath);
    const reason = "a running container gets directories and files of the host only";
    throw refuse("InvalidArgument", `hostPath is ${given}, expected ${paths.expected}: ${reason}`);
  }
  const kind = await files.kind(hostPath);
  if (kind !== "directory" && kind !== "file") {
    const found = kind === undefined ? "is missing" : "is neither";
    throw refuse("InvalidArgument", `hostPath ${hostPath} ${found}, expected a file or directory`);
  }
  let HostPath = "";
  const share = reservedStep(
    `share of ${hostPath}`,
    shares,
    () => shares.reserve({ hostPath, kind, readOnly }),
    (path) => {
      HostPath = path;
    },
  );
  return {
    name: share.name,
    async acquire(signal) {
      await share.acquire(signal);
      const Settings = { HostPath, ContainerPath: containerPath, ReadOnly: readOnly };
      await guest.modify({ ResourcePath: "Container/MappedDirectories", RequestType: "Add", Settings }, signal);
    },
    release: (signal) => share.release(signal),
  };
}
