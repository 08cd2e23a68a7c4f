import {
  checkVirtualSmbShare,
  checkVirtualSmbShareRemoval,
  type ModifySettingRequest,
  resourcePaths,
  type VirtualSmbDevice,
  type VirtualSmbShare,
} from "@uvm-shim/hcs-schema";
import { FakeRefusal } from "./fake-refusal.ts";

const pipesPath = resourcePaths.mappedPipe("");

/** Whether a modify request is about VSMB shares or pipes. */
export function isVsmbPath(path: string): boolean {
  return path === resourcePaths.virtualSmbShares || path.startsWith(pipesPath);
}

/** The VSMB shares and mapped pipes of a fake system. */
export class FakeVsmb {
  readonly #device: VirtualSmbDevice | undefined;
  readonly #requireFile: (path: string) => void;
  /** By name in lower case, as the guest compares them. */
  readonly #shares = new Map<string, VirtualSmbShare>();
  /** By path in lower case. */
  readonly #pipes = new Map<string, string>();

  constructor(device: VirtualSmbDevice | undefined, requireFile: (path: string) => void) {
    this.#device = device;
    this.#requireFile = requireFile;
  }

  /** By name. */
  get shares(): ReadonlyMap<string, VirtualSmbShare> {
    return new Map([...this.#shares.values()].map((share) => [share.Name, share]));
  }

  get pipes(): readonly string[] {
    return [...this.#pipes.values()];
  }

  /** Adds the document's shares. */
  start(): void {
    for (const share of this.#device?.Shares ?? []) this.#add(share);
  }

  end(): void {
    this.#shares.clear();
    this.#pipes.clear();
  }

  modify({ ResourcePath, RequestType, Settings }: ModifySettingRequest): void {
    if (this.#device === undefined) {
      throw new FakeRefusal("HCS_E_SYSTEM_NOT_CONFIGURED_FOR_OPERATION", "the document does not enable VirtualSmb");
    }
    if (ResourcePath !== resourcePaths.virtualSmbShares) {
      this.#modifyPipe(RequestType, ResourcePath.slice(pipesPath.length), Settings);
      return;
    }
    switch (RequestType) {
      case "Add":
        this.#add(checkVirtualSmbShare(Settings, "Settings"));
        return;
      case "Update":
        this.#update(checkVirtualSmbShare(Settings, "Settings"));
        return;
      case "Remove": {
        const { Name } = checkVirtualSmbShareRemoval(Settings, "Settings");
        if (!this.#shares.delete(Name.toLowerCase())) throw unknownShare(Name);
        return;
      }
    }
  }

  #add(share: VirtualSmbShare): void {
    this.#requireFile(share.Path);
    this.#checkFiles(share);
    if (this.#shares.has(share.Name.toLowerCase())) {
      throw new FakeRefusal("ERROR_ALREADY_EXISTS", `share ${share.Name} already exists`);
    }
    this.#shares.set(share.Name.toLowerCase(), share);
  }

  /** Only the list of files can change, and only where there is one. */
  #update(share: VirtualSmbShare): void {
    const known = this.#shares.get(share.Name.toLowerCase());
    if (known === undefined) throw unknownShare(share.Name);
    if (known.Options.RestrictFileAccess !== true) throw invalid(`share ${share.Name} is not restricted to files`);
    const settings = ({ Path, Options }: VirtualSmbShare): string => JSON.stringify([Path, Options]);
    if (settings(known) !== settings(share)) throw invalid(`share ${share.Name} has another path or other options`);
    this.#checkFiles(share);
    this.#shares.set(share.Name.toLowerCase(), share);
  }

  #checkFiles({ Name, Path, AllowedFiles = [], Options }: VirtualSmbShare): void {
    if ((Options.RestrictFileAccess === true) !== AllowedFiles.length > 0) {
      throw invalid(`share ${Name} must have AllowedFiles if and only if it has RestrictFileAccess`);
    }
    const folder = Path.replace(/[\\/]$/, "");
    for (const file of AllowedFiles) {
      const isBelow = file.startsWith(folder) && /^[\\/][^\\/]+$/.test(file.slice(folder.length));
      if (!isBelow) throw invalid(`share ${Name} allows ${file}, which is not directly in ${Path}`);
      this.#requireFile(file);
    }
  }

  #modifyPipe(type: ModifySettingRequest["RequestType"], path: string, settings: unknown): void {
    if (settings !== undefined) throw invalid("a mapped pipe has no settings");
    if (!/^\\\\[.?]\\pipe\\./i.test(path)) throw invalid(`${path} is not a named pipe`);
    const key = path.toLowerCase();
    switch (type) {
      case "Add":
        if (this.#pipes.has(key)) throw new FakeRefusal("ERROR_ALREADY_EXISTS", `pipe ${path} is mapped already`);
        this.#pipes.set(key, path);
        return;
      case "Remove":
        if (!this.#pipes.delete(key)) throw new FakeRefusal("ERROR_NOT_FOUND", `pipe ${path} is not mapped`);
        return;
      case "Update":
        throw invalid("a mapped pipe cannot be updated");
    }
  }
}

function unknownShare(name: string): FakeRefusal {
  return new FakeRefusal("ERROR_NOT_FOUND", `share ${name} does not exist`);
}

function invalid(message: string): FakeRefusal {
  return new FakeRefusal("E_INVALIDARG", message);
}
