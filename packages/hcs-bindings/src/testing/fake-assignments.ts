import { checkGuid, checkVirtualPciDevice, resourcePaths, type VirtualPciDevice } from "@uvm-shim/hcs-schema";
import { FakeRefusal } from "./fake-refusal.ts";

/** Device functions of the host that are assigned to systems. */
export class FakeAssignableDevices {
  readonly #functions: ReadonlyMap<string, number> | undefined;
  readonly #held = new Set<string>();

  /** @param functions number of functions of each device, by instance path; by default unlimited. */
  constructor(functions: ReadonlyMap<string, number> | undefined) {
    this.#functions = functions && new Map([...functions].map(([path, count]) => [path.toLowerCase(), count]));
  }

  /** The assigned functions. */
  get held(): readonly string[] {
    return [...this.#held];
  }

  /** Returns a function that releases the assignment. */
  claim({ Functions }: VirtualPciDevice): () => void {
    const keys = Functions.map(({ DeviceInstancePath: path, VirtualFunction = 0 }) => {
      const count = this.#functions === undefined ? VirtualFunction + 1 : this.#functions.get(path.toLowerCase());
      if (count === undefined) throw new FakeRefusal("ERROR_NOT_FOUND", `device ${path} does not exist`);
      if (VirtualFunction >= count) throw new FakeRefusal("E_INVALIDARG", `${path} has no function ${VirtualFunction}`);
      return `${path.toLowerCase()}/${VirtualFunction}`;
    });
    const taken = keys.find((key) => this.#held.has(key));
    if (taken !== undefined) throw new FakeRefusal("ERROR_SHARING_VIOLATION", `${taken} is already assigned`);
    for (const key of keys) this.#held.add(key);
    return () => {
      for (const key of keys) this.#held.delete(key);
    };
  }
}

/** Devices assigned to one system, by VMBus GUID. */
export class FakeAssignments {
  readonly #devices: FakeAssignableDevices;
  readonly #releases = new Map<string, () => void>();

  constructor(devices: FakeAssignableDevices) {
    this.#devices = devices;
  }

  get guids(): readonly string[] {
    return [...this.#releases.keys()];
  }

  add(vmBusGuid: string, settings: unknown): void {
    const device = checkVirtualPciDevice(settings, "Settings");
    if (this.#releases.has(vmBusGuid))
      throw new FakeRefusal("ERROR_ALREADY_EXISTS", `VMBus GUID ${vmBusGuid} is already in use`);
    this.#releases.set(vmBusGuid, this.#devices.claim(device));
  }

  remove(vmBusGuid: string): void {
    const release = this.#releases.get(vmBusGuid);
    if (release === undefined)
      throw new FakeRefusal("ERROR_NOT_FOUND", `VMBus GUID ${vmBusGuid} has no assigned device`);
    release();
    this.#releases.delete(vmBusGuid);
  }

  removeAll(): void {
    for (const guid of this.guids) this.remove(guid);
  }
}

/** The VMBus GUID in a resource path; undefined for paths of other resources. */
export function vmBusGuidOf(path: string): string | undefined {
  const prefix = resourcePaths.virtualPci("");
  if (!path.startsWith(prefix)) return undefined;
  try {
    return checkGuid(path.slice(prefix.length)).toLowerCase();
  } catch {
    throw new FakeRefusal("E_INVALIDARG", `ResourcePath: invalid path ${path}: expected a VMBus GUID at its end`);
  }
}
