import { FakeRunningVm } from "@uvm-shim/hcs-bindings/testing";
import { type ModifyRequestType, resourcePaths, type VirtualSmbShare, windowsGuestPaths } from "@uvm-shim/hcs-schema";
import { windowsPaths } from "@uvm-shim/lifecycle";
import { ScriptedCalls, scriptedError } from "@uvm-shim/lifecycle/testing";
import { PipeController } from "../pipes.ts";
import { VsmbController, type VsmbControllerOptions } from "../shares.ts";
import type { PipeHost, VsmbHost } from "../types.ts";

/** A host that is as strict as a real one; a name of a share must never be used twice. */
export class FakeVsmbVm implements VsmbHost, PipeHost {
  readonly script: ScriptedCalls;
  readonly #vm = new FakeRunningVm("vm-1");
  readonly #usedNames = new Set<string>();

  constructor(script: ScriptedCalls = new ScriptedCalls()) {
    this.script = script;
  }

  get shares(): ReadonlyMap<string, VirtualSmbShare> {
    return this.#vm.system.vsmb.shares;
  }

  get pipes(): readonly string[] {
    return this.#vm.system.vsmb.pipes;
  }

  /** Whether a program in the guest can open this path of a share or pipe. */
  canOpen(path: string): boolean {
    const [name = "", ...rest] = path.slice(windowsGuestPaths.vsmbShares.length + 1).split("\\");
    if (name === "IPC$") return this.pipes.includes(`\\\\.\\pipe\\${rest.join("\\")}`);
    const share = this.shares.get(name);
    if (share === undefined) return false;
    const file = [share.Path, ...rest].join("\\").toLowerCase();
    return rest.length === 0 || (share.AllowedFiles ?? [file]).some((allowed) => allowed.toLowerCase() === file);
  }

  addVsmbShare(share: VirtualSmbShare, signal?: AbortSignal): Promise<void> {
    return this.script.run("addVsmbShare", `${share.Name} ${share.Path}`, signal, () => {
      if (this.#usedNames.has(share.Name)) throw scriptedError("AlreadyExists", `${share.Name} was used before`);
      this.#usedNames.add(share.Name);
      this.#modify("Add", resourcePaths.virtualSmbShares, share);
    });
  }

  updateVsmbShare(share: VirtualSmbShare, signal?: AbortSignal): Promise<void> {
    return this.script.run("updateVsmbShare", share.Name, signal, () =>
      this.#modify("Update", resourcePaths.virtualSmbShares, share),
    );
  }

  removeVsmbShare(share: Pick<VirtualSmbShare, "Name">, signal?: AbortSignal): Promise<void> {
    return this.script.run("removeVsmbShare", share.Name, signal, () =>
      this.#modify("Remove", resourcePaths.virtualSmbShares, share),
    );
  }

  mapPipe(path: string, signal?: AbortSignal): Promise<void> {
    return this.script.run("mapPipe", path, signal, () => this.#modify("Add", resourcePaths.mappedPipe(path)));
  }

  unmapPipe(path: string, signal?: AbortSignal): Promise<void> {
    return this.script.run("unmapPipe", path, signal, () => this.#modify("Remove", resourcePaths.mappedPipe(path)));
  }

  #modify(RequestType: ModifyRequestType, ResourcePath: string, Settings?: unknown): void {
    this.#vm.modify({ ResourcePath, RequestType, ...(Settings !== undefined && { Settings }) });
  }
}

/** Both controllers on a fake VM, with reservation ids r1, r2, … */
export function vsmbOn(script?: ScriptedCalls, options: Partial<VsmbControllerOptions> = {}) {
  const vm = new FakeVsmbVm(script);
  let reservations = 0;
  const newId = (): string => {
    reservations += 1;
    return `r${reservations}`;
  };
  const vsmb = new VsmbController({ id: "vm-1", host: vm, paths: windowsPaths, newId, ...options });
  const pipes = new PipeController({ id: "vm-1", host: vm, newId });
  /**
   * What nobody uses any more and the VM has all the same, or what is still held. Shares that the guest may have mapped
   * directly are none of it, as long as they are tracked.
   */
  const leftovers = (): readonly string[] => {
    const kept = new Set(
      vsmb.shares.filter(({ holders, state }) => holders === 0 && state !== "Invalid").map(({ name }) => name),
    );
    const mayStay = options.noDirectMap !== true;
    return [
      ...[...vm.shares.values()]
        .filter(({ Name }) => !(mayStay && kept.has(Name)))
        .map(({ Name, Path }) => `share ${Name} of ${Path}`),
      ...vm.pipes.map((path) => `pipe ${path}`),
      ...vsmb.shares.filter(({ name }) => !(mayStay && kept.has(name))).map(({ name }) => `tracked share ${name}`),
      ...pipes.pipes.map(({ hostPath }) => `tracked pipe ${hostPath}`),
    ];
  };
  return { vm, vsmb, pipes, leftovers };
}
