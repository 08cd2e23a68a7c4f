import { closeSync, existsSync, mkdirSync, renameSync, rmSync } from "node:fs";
import { join } from "node:path";
import { assignedDeviceFiles, assignedDeviceFolder } from "@uvm-shim/host-protocol/guest";
import { makeCharNode, openTree, withMountNamespace } from "@uvm-shim/linux-calls";
import type { AssignableFunction } from "../system/assignable-devices.ts";
import type { VmCgroups } from "./cgroups.ts";
import { writeGuestFile } from "./guest-files.ts";
import { attach, detach } from "./shares.ts";

const { declaration: declarationName, node: nodeName, directory: filesName } = assignedDeviceFiles;

/** Assigned devices of a process guest. Each has a directory with its description and exposed files. */
export class GuestAssignedDevices {
  readonly #cgroups: VmCgroups;
  readonly #assigned = new Map<string, AssignableFunction>();

  constructor(cgroups: VmCgroups) {
    this.#cgroups = cgroups;
  }

  assign(init: number, vmBusGuid: string, device: AssignableFunction): void {
    const { characterDevice, directory, ...description } = device;
    const folder = assignedDeviceFolder(vmBusGuid);
    const tree = directory === undefined ? undefined : openTree(directory, { recursive: true });
    try {
      if (characterDevice !== undefined) this.#cgroups.allowDevice("c", characterDevice.major, characterDevice.minor);
      this.#assigned.set(vmBusGuid, device);
      withMountNamespace(init, () => {
        mkdirSync(folder, { recursive: true });
        if (characterDevice !== undefined) {
          const { major, minor, mode } = characterDevice;
          makeCharNode(join(folder, nodeName), major, minor, mode);
        }
        if (tree !== undefined) attach({ isDirectory: true, tree }, join(folder, filesName));
        const unfinished = join(folder, `.${declarationName}`);
        writeGuestFile(unfinished, `${JSON.stringify(description)}\n`);
        renameSync(unfinished, join(folder, declarationName));
      });
    } catch (error) {
      this.unassign(init, vmBusGuid);
      throw error;
    } finally {
      if (tree !== undefined) closeSync(tree);
    }
  }

  /** Removes the device. Mounts of it in a container stay until the container ends. */
  unassign(init: number, vmBusGuid: string): void {
    const device = this.#assigned.get(vmBusGuid);
    if (device === undefined) return;
    const { characterDevice } = device;
    const folder = assignedDeviceFolder(vmBusGuid);
    withMountNamespace(init, () => {
      // Unmounted first, so that removal never reaches a directory of this machine.
      if (existsSync(join(folder, filesName))) detach(join(folder, filesName));
      rmSync(folder, { recursive: true, force: true });
    });
    if (characterDevice !== undefined) this.#cgroups.denyDevice("c", characterDevice.major, characterDevice.minor);
    this.#assigned.delete(vmBusGuid);
  }
}
