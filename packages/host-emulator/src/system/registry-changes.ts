/** What a document changes in the guest's registry before the guest boots. */
import type { VirtualMachineType } from "@uvm-shim/hcs-schema";
import { HcsFailure } from "../hcs-failure.ts";

type RegistryKey = VirtualMachineType<"RegistryKey">;

const field = "VirtualMachine.RegistryChanges";

/** A change needs the hive and the name of its key. */
export function checkRegistryChanges(changes: VirtualMachineType<"RegistryChanges"> | undefined): void {
  for (const [index, value] of (changes?.AddValues ?? []).entries()) {
    checkKey(value.Key, `${field}.AddValues[${index}].Key`);
  }
  for (const [index, key] of (changes?.DeleteKeys ?? []).entries()) checkKey(key, `${field}.DeleteKeys[${index}]`);
}

function checkKey(key: RegistryKey | undefined, at: string): void {
  for (const name of ["Hive", "Name"] as const) {
    if (key?.[name] === undefined || key[name] === "") {
      throw new HcsFailure("HCS_E_INVALID_JSON", `${at}.${name}: expected, got nothing`);
    }
  }
}
