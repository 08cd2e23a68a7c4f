import { SchemaError } from "@uvm-shim/hcs-schema";
import { hostStructures } from "../../windows/native/host-structures.ts";
import { guidBytes } from "../../windows/native/structures.ts";
import { systemStructures } from "../../windows/native/system-structures.ts";
import { type FakeGuestServices, fakeTimeZone } from "../fake-guest-services.ts";
import { FakeRefusal } from "../fake-refusal.ts";
import type { FakeDll, FakeMachine } from "./fake-machine.ts";
import type { FakeOperations } from "./fake-operations.ts";

const { WC_LAYER_DESCRIPTOR: descriptor, WC_LAYER_DRIVER_INFO: driverInfo } = hostStructures;
const { HVSOCKET_ADDRESS_INFO: addressInfo, TIME_ZONE_INFORMATION: timeZone } = systemStructures;

const invalidHandle = 0xffff_ffff_ffff_ffffn;
const readAndWrite = 0xc000_0000;
const createNew = 1;
const updateAddressInfo = 0x21c004;
const passThrough = 1;
const filterDriver = 1;

/** vmcompute.dll, and the functions of kernel32.dll, for Windows guests. */
export class FakeGuestDlls {
  /** Open entries of the hvsocket provider by handle, each with what ends it. */
  readonly entries = new Map<bigint, { readonly systemId: string; end?: () => void }>();
  readonly #machine: FakeMachine;
  readonly #services: () => FakeGuestServices;
  readonly #operations: () => FakeOperations;
  #lastError = 0;

  constructor(machine: FakeMachine, services: () => FakeGuestServices, operations: () => FakeOperations) {
    this.#machine = machine;
    this.#services = services;
    this.#operations = operations;
  }

  leftovers(): readonly string[] {
    return [...this.entries.values()].map(({ systemId }) => `entry of ${systemId}`);
  }

  /** Whether the handle was one of an entry, which ends. */
  closeHandle(handle: bigint): boolean {
    this.entries.get(handle)?.end?.();
    return this.entries.delete(handle);
  }

  get layerFunctions(): FakeDll {
    return {
      NameToGuid: (name: string, output: Buffer) => {
        guidBytes(this.#services().layerId(name)).copy(output);
        return 0;
      },
      CreateSandboxLayer: (driver: Buffer, path: string, parent: null, layers: Buffer, count: number) => {
        const { Flavour, HomeDir } = driverInfo.decode(driver);
        if (Flavour !== filterDriver || this.#machine.readText(HomeDir) !== "") {
          this.#machine.wrongs.push("CreateSandboxLayer: expected the filter driver without a home");
        }
        if (parent !== null) this.#machine.wrongs.push("CreateSandboxLayer: expected no parent but the descriptors");
        const parents = Array.from({ length: count }, (_, index) => {
          const { LayerId, Flags, Path } = descriptor.decode(layers.subarray(index * descriptor.size));
          const text = this.#machine.readText(Path);
          const name = text.split(/[\\/]/).at(-1) ?? "";
          if (Flags !== 0 || LayerId !== this.#services().layerId(name)) {
            this.#machine.wrongs.push(`CreateSandboxLayer: layer ${text} has a wrong id, or flags`);
          }
          return text;
        });
        return this.#hresult(() => this.#services().createScratch(path, parents));
      },
    };
  }

  get kernelFunctions(): FakeDll {
    return {
      GetLastError: () => this.#lastError,
      CreateFileW: (path: string, access: number, share: number, _security: null, disposition: number) => {
        const [, systemId] = /^\\\\\.\\HvSocketSystem\\AddressInfo\\\{([^{}]+)\}$/.exec(path) ?? [];
        if (systemId === undefined || access !== readAndWrite || share !== 0 || disposition !== createNew) {
          this.#machine.wrongs.push(`CreateFile: ${path} is opened with unexpected arguments`);
          return invalidHandle;
        }
        const hresult = this.#hresult(() => {
          if (this.#services().redirections.has(systemId.toLowerCase())) {
            throw new FakeRefusal("ERROR_FILE_EXISTS", "the entry exists");
          }
        });
        this.#lastError = hresult & 0xffff;
        if (hresult !== 0) return invalidHandle;
        const handle = this.#machine.newAddress();
        this.entries.set(handle, { systemId });
        return handle;
      },
      DeviceIoControl: (handle: bigint, code: number, input: Buffer, size: number) => {
        const entry = this.entries.get(handle);
        const { SystemId, VirtualMachineId, SiloId, Flags } = addressInfo.decode(input);
        const isExpected =
          code === updateAddressInfo &&
          size === addressInfo.size &&
          SystemId === entry?.systemId.toLowerCase() &&
          /^[0-]+$/.test(SiloId) &&
          Flags === passThrough;
        if (entry === undefined || !isExpected) {
          this.#machine.wrongs.push(`DeviceIoControl: the entry of ${SystemId} is written with unexpected arguments`);
          return 0;
        }
        const hresult = this.#hresult(() => {
          entry.end = this.#services().redirect(SystemId, VirtualMachineId);
        });
        this.#lastError = hresult & 0xffff;
        return hresult === 0 ? 1 : 0;
      },
      GetTimeZoneInformation: (output: Buffer) => {
        const { Bias, StandardName, StandardDate, DaylightName, DaylightDate, DaylightBias } = fakeTimeZone;
        const date = (name: string, { Month = 0, Day = 0, Hour = 0 }) => ({
          [`${name}.wMonth`]: Month,
          [`${name}.wDay`]: Day,
          [`${name}.wHour`]: Hour,
        });
        const zone = { Bias, StandardName, DaylightName, DaylightBias };
        const dates = { ...date("StandardDate", StandardDate), ...date("DaylightDate", DaylightDate) };
        timeZone.encode({ ...zone, ...dates } as Parameters<typeof timeZone.encode>[0]).copy(output);
        return 1;
      },
    };
  }

  #hresult(effect: () => void): number {
    try {
      effect();
      return 0;
    } catch (error) {
      if (!(error instanceof FakeRefusal || error instanceof SchemaError)) throw error;
      return this.#operations().hresultOf(error);
    }
  }
}
