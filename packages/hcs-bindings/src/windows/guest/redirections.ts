import { type HostError, hostErrorOf } from "../../host-error.ts";
import type { HvsocketRedirection } from "../../types.ts";
import { guidOf, type Subject } from "../compute/call-results.ts";
import type { Kernel } from "../io/completion-port.ts";
import { closedError, hostClosed } from "../native/close-reason.ts";
import { systemStructures } from "../native/system-structures.ts";

const { HVSOCKET_ADDRESS_INFO: addressInfo } = systemStructures;

const GENERIC_READ = 0x8000_0000;
const GENERIC_WRITE = 0x4000_0000;
const CREATE_NEW = 1;
const INVALID_HANDLE_VALUE = 0xffff_ffff_ffff_ffffn;
/** The GUID leads to a compartment of the VM that is not its primary one. */
const HVSOCKET_ADDRESS_FLAG_PASSTHRU = 0x1;
/** Without a name in a public header. */
const updateAddressInfo = 0x21_c004;

/**
 * Entries of the hvsocket provider by which a GUID leads to a container within a VM. An entry lasts as long as its
 * handle is open.
 */
export class HvsocketRedirections {
  readonly #kernel: Kernel;
  readonly #open = new Set<bigint>();
  #isClosed = false;

  constructor(kernel: Kernel) {
    this.#kernel = kernel;
  }

  open(subject: Subject, systemId: string, vmId: string): HvsocketRedirection {
    if (this.#isClosed) throw closedError(subject, hostClosed);
    for (const id of [systemId, vmId]) guidOf(subject, id);
    const path = `\\\\.\\HvSocketSystem\\AddressInfo\\{${systemId}}`;
    const handle = this.#kernel.call("CreateFileW", path, GENERIC_READ + GENERIC_WRITE, 0, null, CREATE_NEW, 0, null);
    if (handle === INVALID_HANDLE_VALUE || handle === 0n) throw this.#lastError(subject, "cannot create the entry");
    const entry = addressInfo.encode({
      SystemId: systemId,
      VirtualMachineId: vmId,
      Flags: HVSOCKET_ADDRESS_FLAG_PASSTHRU,
    });
    const written = Buffer.alloc(4);
    const { length } = entry;
    if (this.#kernel.call("DeviceIoControl", handle, updateAddressInfo, entry, length, null, 0, written, null) === 0) {
      const error = this.#lastError(subject, "cannot write the entry");
      this.#kernel.call("CloseHandle", handle);
      throw error;
    }
    this.#open.add(handle);
    return { close: async () => this.#close(handle) };
  }

  close(): void {
    this.#isClosed = true;
    for (const handle of this.#open) this.#close(handle);
  }

  #close(handle: bigint): void {
    if (this.#open.delete(handle)) this.#kernel.call("CloseHandle", handle);
  }

  #lastError(subject: Subject, message: string): HostError {
    return hostErrorOf({ hresult: 0x8007_0000 + this.#kernel.call("GetLastError"), message }, subject);
  }
}
