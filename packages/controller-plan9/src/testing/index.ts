import { FakeRunningVm } from "@uvm-shim/hcs-bindings/testing";
import {
  checkLinuxGuestRequest,
  type LinuxMappedDirectory,
  type Plan9Share,
  resourcePaths,
} from "@uvm-shim/hcs-schema";
import { posixPaths } from "@uvm-shim/lifecycle";
import { ScriptedCalls, scriptedError } from "@uvm-shim/lifecycle/testing";
import { Plan9Controller, type Plan9ControllerOptions } from "../controller.ts";
import type { Plan9Guest, Plan9Host } from "../types.ts";

/** A fake Plan9 server and guest, as strict as real ones; a name must never be used twice. */
export class FakePlan9Vm implements Plan9Host, Plan9Guest {
  /** Share name by mount path. */
  readonly mounted = new Map<string, string>();
  readonly script: ScriptedCalls;
  readonly #vm = new FakeRunningVm("vm-1");
  readonly #usedNames = new Set<string>();

  constructor(script: ScriptedCalls = new ScriptedCalls()) {
    this.script = script;
  }

  get shares(): ReadonlyMap<string, Plan9Share> {
    return this.#vm.system.shares;
  }

  /** Everything that is not released. */
  leftovers(): readonly string[] {
    return [
      ...[...this.shares.values()].map(({ Name, Path }) => `share ${Name} of ${Path}`),
      ...[...this.mounted].map(([path, name]) => `mount of ${name} at ${path}`),
    ];
  }

  addShare(share: Plan9Share, signal?: AbortSignal): Promise<void> {
    return this.script.run("addShare", `${share.Name} ${share.Path}`, signal, () => {
      if (this.#usedNames.has(share.Name)) throw scriptedError("AlreadyExists", `${share.Name} was used before`);
      this.#usedNames.add(share.Name);
      this.#vm.modify({ ResourcePath: resourcePaths.plan9Shares, RequestType: "Add", Settings: share });
    });
  }

  removeShare(share: Pick<Plan9Share, "Name" | "AccessName" | "Port">, signal?: AbortSignal): Promise<void> {
    return this.script.run("removeShare", share.Name, signal, () => {
      if ([...this.mounted.values()].includes(share.Name)) {
        throw scriptedError("FailedPrecondition", `${share.Name} is mounted`);
      }
      this.#vm.modify({ ResourcePath: resourcePaths.plan9Shares, RequestType: "Remove", Settings: share });
    });
  }

  mountShare(directory: LinuxMappedDirectory, signal?: AbortSignal): Promise<void> {
    return this.script.run("mountShare", directory.MountPath, signal, () => {
      checkLinuxGuestRequest({ ResourceType: "MappedDirectory", RequestType: "Add", Settings: directory });
      const share = this.shares.get(directory.ShareName);
      if (share?.Port !== directory.Port) throw scriptedError("NotFound", `no share ${directory.ShareName}`);
      if (this.mounted.has(directory.MountPath)) throw scriptedError("AlreadyExists", directory.MountPath);
      this.mounted.set(directory.MountPath, directory.ShareName);
    });
  }

  unmountShare(directory: LinuxMappedDirectory, signal?: AbortSignal): Promise<void> {
    return this.script.run("unmountShare", directory.MountPath, signal, () => {
      if (!this.mounted.delete(directory.MountPath)) throw scriptedError("NotFound", directory.MountPath);
    });
  }
}

/** A controller on a fake VM, with reservation ids r1, r2, … */
export function plan9On(script?: ScriptedCalls, options: Partial<Plan9ControllerOptions> = {}) {
  const vm = new FakePlan9Vm(script);
  let reservations = 0;
  const plan9 = new Plan9Controller({
    id: "vm-1",
    host: vm,
    guest: () => vm,
    paths: posixPaths,
    newId: () => {
      reservations += 1;
      return `r${reservations}`;
    },
    ...options,
  });
  return { vm, plan9 };
}
