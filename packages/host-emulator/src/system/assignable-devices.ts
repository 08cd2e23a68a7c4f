import { readFileSync, type Stats, statSync } from "node:fs";
import type { VirtualPciDevice } from "@uvm-shim/hcs-schema";
import {
  checkDeclaredDevices,
  type DeclaredDevice,
  type DeclaredDevices,
} from "@uvm-shim/host-protocol/declared-devices";
import { messageOf } from "@uvm-shim/lifecycle";
import { HcsFailure } from "../hcs-failure.ts";
import { realPath } from "./disk-file.ts";

/** One function of a declared device, with the files of this machine that it exposes. */
export interface AssignableFunction {
  readonly instancePath: string;
  readonly virtualFunction: number;
  readonly characterDevice?: CharacterDevice;
  /** Path of a directory of this machine. */
  readonly directory?: string;
}

/** A character device as the kernel numbers it, with the permissions of its node. */
export interface CharacterDevice {
  readonly major: number;
  readonly minor: number;
  readonly mode: number;
}

/**
 * Assignable devices of this machine, declared in a file, and their current holders. The file is read at each assignment,
 * since devices may change.
 */
export class AssignableDevices {
  readonly #file: string | undefined;
  readonly #holders = new Map<string, string>();

  /** Without a file no device can be assigned. */
  constructor(file: string | undefined) {
    this.#file = file;
  }

  /** Assigns a function to a VM. Throws an HcsFailure with the field. */
  claim(
    device: VirtualPciDevice,
    holder: string,
    field: string,
  ): { readonly assigned: AssignableFunction; readonly release: () => void } {
    const [requested, ...more] = device.Functions;
    if (requested === undefined || more.length > 0) {
      const count = device.Functions.length;
      throw new HcsFailure("ERROR_NOT_SUPPORTED", `${field}.Functions: expected 1 function, got ${count}`);
    }
    const { DeviceInstancePath: path, VirtualFunction: virtualFunction = 0 } = requested;
    const at = `${field}.Functions[0]`;
    const declared = this.#find(path, `${at}.DeviceInstancePath`);
    const functions = declared.functions ?? 1;
    if (virtualFunction >= functions) {
      throw new HcsFailure(
        "E_INVALIDARG",
        `${at}.VirtualFunction: invalid function ${virtualFunction} of ${path}: expected 0 to ${functions - 1}`,
      );
    }
    const key = `${virtualFunction} ${declared.instancePath.toLowerCase()}`;
    const current = this.#holders.get(key);
    if (current !== undefined) {
      const message = `${at}: function ${virtualFunction} of ${path} is already assigned to ${current}`;
      throw new HcsFailure("ERROR_SHARING_VIOLATION", message);
    }
    const assigned = this.#describe(declared, virtualFunction);
    this.#holders.set(key, holder);
    let isHeld = true;
    const release = (): void => {
      if (isHeld) this.#holders.delete(key);
      isHeld = false;
    };
    return { assigned, release };
  }

  #find(path: string, field: string): DeclaredDevice {
    const found = this.#read().devices.find(({ instancePath }) => instancePath.toLowerCase() === path.toLowerCase());
    if (found !== undefined) return found;
    const where = this.#file === undefined ? "declared" : `declared in ${this.#file}`;
    throw new HcsFailure("ERROR_NOT_FOUND", `${field}: device ${path} is not ${where}`);
  }

  #read(): DeclaredDevices {
    if (this.#file === undefined) return { devices: [] };
    try {
      return checkDeclaredDevices(JSON.parse(readFileSync(this.#file, "utf8")));
    } catch (cause) {
      const message = messageOf(cause);
      throw new HcsFailure("E_FAIL", `cannot read declared devices from ${this.#file}: ${message}`, { cause });
    }
  }

  #describe(declared: DeclaredDevice, virtualFunction: number): AssignableFunction {
    const { instancePath, characterDevice, directory } = declared;
    return {
      instancePath,
      virtualFunction,
      ...(characterDevice !== undefined && { characterDevice: this.#characterDevice(declared, characterDevice) }),
      ...(directory !== undefined && {
        directory: this.#existing(declared, directory, (stats) => stats.isDirectory()),
      }),
    };
  }

  #characterDevice(declared: DeclaredDevice, path: string): CharacterDevice {
    const { rdev, mode } = statSync(this.#existing(declared, path, (stats) => stats.isCharacterDevice()));
    return {
      major: (rdev >> 8) & 0xfff,
      minor: (rdev & 0xff) | ((rdev >> 12) & 0xfff00),
      mode: mode & 0o777,
    };
  }

  #existing(declared: DeclaredDevice, path: string, isRight: (stats: Stats) => boolean): string {
    const what = `${this.#file}: ${declared.instancePath}`;
    const real = realPath(path, what);
    if (isRight(statSync(real))) return real;
    throw new HcsFailure("E_INVALIDARG", `${what}: ${path} is not of the declared kind`);
  }
}
