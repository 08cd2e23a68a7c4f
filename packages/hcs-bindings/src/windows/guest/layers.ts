import { win32 } from "node:path";
import { callError, failed, type Subject } from "../compute/call-results.ts";
import { hostClosed } from "../native/close-reason.ts";
import { hostStructures } from "../native/host-structures.ts";
import type { LibraryPaths } from "../native/libraries.ts";
import type { NativeLibrary, NativeMachine } from "../native/native-types.ts";
import { PendingCalls } from "../native/pending-calls.ts";
import { guidText, wideText } from "../native/structures.ts";
import { vmcomputeFunctions } from "../native/vmcompute-functions.ts";

const { WC_LAYER_DESCRIPTOR: descriptor, WC_LAYER_DRIVER_INFO: driverInfo } = hostStructures;

/** GraphDriverType FilterDriver: a layer is a folder, and a scratch layer a disk in it. */
const filterDriver = 1;

/** Layers of Windows containers. */
export class ContainerLayers {
  readonly #machine: NativeMachine;
  readonly #path: string;
  readonly #calls = new PendingCalls();
  #loaded: NativeLibrary<typeof vmcomputeFunctions> | undefined;

  constructor(machine: NativeMachine, paths: LibraryPaths) {
    this.#machine = machine;
    this.#path = paths.vmcompute;
  }

  idOf(subject: Subject, name: string): Promise<string> {
    return this.#calls.call(subject, async () => {
      const id = Buffer.alloc(16);
      const hresult = await this.#library.run("NameToGuid", name, id);
      if (failed(hresult)) throw callError(subject, hresult);
      return guidText(id);
    });
  }

  async createScratch(subject: Subject, path: string, parents: readonly string[]): Promise<void> {
    const names = parents.map((parent) => win32.basename(parent));
    const ids: string[] = [];
    for (const name of names) ids.push(await this.idOf({ operation: "find id of layer", id: name }, name));
    await this.#calls.call(subject, async () => {
      const descriptors = this.#withTexts(
        ids.map((LayerId) => descriptor.encode({ LayerId })),
        descriptor.offsets.Path,
        parents,
      );
      const driver = this.#withTexts([driverInfo.encode({ Flavour: filterDriver })], driverInfo.offsets.HomeDir, [""]);
      const hresult = await this.#library.run("CreateSandboxLayer", driver, path, null, descriptors, parents.length);
      if (failed(hresult)) throw callError(subject, hresult);
    });
  }

  close(): Promise<void> {
    return this.#calls.end(hostClosed);
  }

  /**
   * Structures, each with a pointer to one of the texts, which follow in the same memory: it is referenced as long as
   * the call runs.
   */
  #withTexts(structures: readonly Buffer[], pointer: number, texts: readonly string[]): Buffer {
    const memory = texts.map(wideText);
    const whole = Buffer.concat([...structures, ...memory]);
    const size = structures[0]?.length ?? 0;
    let address = this.#machine.addressOf(whole) + BigInt(size * structures.length);
    for (const [index, { length }] of memory.entries()) {
      whole.writeBigUInt64LE(address, index * size + pointer);
      address += BigInt(length);
    }
    return whole;
  }

  /** Loaded when it is needed, since no Linux pod needs it. */
  get #library(): NativeLibrary<typeof vmcomputeFunctions> {
    this.#loaded ??= this.#machine.library(this.#path, vmcomputeFunctions);
    return this.#loaded;
  }
}
