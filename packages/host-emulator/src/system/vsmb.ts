/** VSMB shares and mapped pipes of a system. */
import { statSync } from "node:fs";
import { dirname, normalize } from "node:path";
import {
  checkVirtualSmbShare,
  checkVirtualSmbShareRemoval,
  type ModifySettingRequest,
  type VirtualSmbDevice,
  type VirtualSmbShare,
} from "@uvm-shim/hcs-schema";
import type { GuestMachine } from "../guest-machine.ts";
import { HcsFailure } from "../hcs-failure.ts";
import { realPath } from "./disk-file.ts";

/** A resource path about VSMB. */
export type VsmbResource = { readonly kind: "vsmb" } | { readonly kind: "pipe"; readonly path: string };

/** Whether a resource is about VSMB. */
export function isVsmb(resource: { readonly kind: string }): resource is VsmbResource {
  return resource.kind === "vsmb" || resource.kind === "pipe";
}

/**
 * What a system has of them. A guest kind that has no VSMB, such as a Linux guest, does not see them, as on Windows.
 * Names and paths of pipes are compared without regard to case.
 */
export class SystemVsmb {
  readonly #device: VirtualSmbDevice | undefined;
  readonly #shares = new Map<string, VirtualSmbShare>();
  readonly #pipes = new Set<string>();

  constructor(device: VirtualSmbDevice | undefined) {
    this.#device = device;
  }

  /** Adds the document's shares to a machine that has booted. */
  async start(machine: GuestMachine): Promise<void> {
    for (const [index, share] of (this.#device?.Shares ?? []).entries()) {
      await this.#add(machine, share, `VirtualMachine.Devices.VirtualSmb.Shares[${index}]`);
    }
  }

  async modify(machine: GuestMachine, resource: VsmbResource, request: ModifySettingRequest): Promise<void> {
    if (this.#device === undefined) {
      throw new HcsFailure(
        "HCS_E_SYSTEM_NOT_CONFIGURED_FOR_OPERATION",
        "the document does not have VirtualMachine.Devices.VirtualSmb",
      );
    }
    if (resource.kind === "pipe") return this.#modifyPipe(machine, resource.path, request);
    switch (request.RequestType) {
      case "Add":
        return this.#add(machine, checkVirtualSmbShare(request.Settings, "Settings"), "Settings");
      case "Update":
        return this.#update(machine, checkVirtualSmbShare(request.Settings, "Settings"));
      case "Remove": {
        const { Name } = checkVirtualSmbShareRemoval(request.Settings, "Settings");
        const { Name: known } = this.#require(Name);
        await machine.removeVsmbShare?.(known);
        this.#shares.delete(keyOf(known));
      }
    }
  }

  async #add(machine: GuestMachine, share: VirtualSmbShare, field: string): Promise<void> {
    checkShare(share, field);
    if (this.#shares.has(keyOf(share.Name))) {
      throw new HcsFailure("ERROR_ALREADY_EXISTS", `${field}.Name: share ${share.Name} already exists`);
    }
    await machine.addVsmbShare?.(share);
    this.#shares.set(keyOf(share.Name), share);
  }

  /** Only the list of files can change, and only where there is one. */
  async #update(machine: GuestMachine, share: VirtualSmbShare): Promise<void> {
    const known = this.#require(share.Name);
    if (known.Options.RestrictFileAccess !== true) {
      throw new HcsFailure(
        "E_INVALIDARG",
        `Settings.Name: share ${share.Name} cannot be updated: expected one with Options.RestrictFileAccess`,
      );
    }
    if (share.Path !== known.Path) {
      throw new HcsFailure("E_INVALIDARG", `Settings.Path: expected ${known.Path} as before, got ${share.Path}`);
    }
    for (const option of optionsOf(known, share)) {
      if ((known.Options[option] ?? false) === (share.Options[option] ?? false)) continue;
      throw new HcsFailure(
        "E_INVALIDARG",
        `Settings.Options.${option}: expected ${known.Options[option] ?? false} as before`,
      );
    }
    checkShare(share, "Settings");
    await machine.updateVsmbShare?.(share);
    this.#shares.set(keyOf(share.Name), share);
  }

  #require(name: string): VirtualSmbShare {
    const share = this.#shares.get(keyOf(name));
    if (share !== undefined) return share;
    throw new HcsFailure("ERROR_NOT_FOUND", `Settings.Name: share ${name} does not exist`);
  }

  async #modifyPipe(machine: GuestMachine, path: string, request: ModifySettingRequest): Promise<void> {
    if (request.Settings !== undefined) {
      throw new HcsFailure("E_INVALIDARG", "Settings: expected none for a mapped pipe");
    }
    const isMapped = this.#pipes.has(keyOf(path));
    switch (request.RequestType) {
      case "Add":
        if (isMapped) throw new HcsFailure("ERROR_ALREADY_EXISTS", `ResourcePath: pipe ${path} is mapped already`);
        await machine.mapPipe?.(path);
        this.#pipes.add(keyOf(path));
        return;
      case "Remove":
        if (!isMapped) throw new HcsFailure("ERROR_NOT_FOUND", `ResourcePath: pipe ${path} is not mapped`);
        await machine.unmapPipe?.(path);
        this.#pipes.delete(keyOf(path));
        return;
      case "Update":
        throw new HcsFailure("E_INVALIDARG", `RequestType: expected "Add" or "Remove" for ${request.ResourcePath}`);
    }
  }
}

/** Checks the shares of a document. */
export function checkVsmbDevice(device: VirtualSmbDevice | undefined): void {
  const at = "VirtualMachine.Devices.VirtualSmb.Shares";
  const names = new Set<string>();
  for (const [index, share] of (device?.Shares ?? []).entries()) {
    checkShare(share, `${at}[${index}]`);
    if (names.has(keyOf(share.Name))) throw new HcsFailure("HCS_E_INVALID_JSON", `${at}: duplicate name ${share.Name}`);
    names.add(keyOf(share.Name));
  }
}

/** Checks the values of a share. `field` names it in errors. */
function checkShare({ Path, AllowedFiles = [], Options }: VirtualSmbShare, field: string): void {
  if (!statSync(realPath(Path, `${field}.Path`)).isDirectory()) {
    throw new HcsFailure("E_INVALIDARG", `${field}.Path: expected a directory, got ${Path}`);
  }
  if ((Options.RestrictFileAccess ?? false) !== AllowedFiles.length > 0) {
    throw new HcsFailure(
      "E_INVALIDARG",
      `${field}.AllowedFiles: expected if and only if Options.RestrictFileAccess is set`,
    );
  }
  for (const [index, file] of AllowedFiles.entries()) {
    if (dirname(file) !== normalize(Path).replace(/(?<=.)\/$/, "")) {
      throw new HcsFailure(
        "E_INVALIDARG",
        `${field}.AllowedFiles[${index}]: expected the full path of a file directly in ${Path}, got ${file}`,
      );
    }
    realPath(file, `${field}.AllowedFiles[${index}]`);
  }
}

function optionsOf(...shares: readonly VirtualSmbShare[]): ReadonlySet<keyof VirtualSmbShare["Options"]> {
  return new Set(shares.flatMap(({ Options }) => Object.keys(Options) as (keyof VirtualSmbShare["Options"])[]));
}

function keyOf(name: string): string {
  return name.toLowerCase();
}
