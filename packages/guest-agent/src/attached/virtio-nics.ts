/** The NICs of a virtual machine, by their addresses: the kernel names their interfaces in the order in which they come. */
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { GuestFault } from "@uvm-shim/gcs-bridge";
import { nicInterface } from "@uvm-shim/host-protocol/guest";
import { renameInterface } from "@uvm-shim/linux-calls";
import type { NicFinder } from "../network/namespaces.ts";

/**
 * Finds the interface of a NIC and names it by the NIC's GUID, so that none of the VM's own network has the name that one
 * of a container is to get.
 */
export function nicsByAddress(sys = "/sys", rename: typeof renameInterface = renameInterface): NicFinder {
  const interfaces = join(sys, "class", "net");
  return ({ ID, MacAddress }) => {
    const name = nicInterface(ID);
    if (existsSync(join(interfaces, name))) return name;
    if (MacAddress === undefined) {
      const expected = "expected Request.Settings.MacAddress, by which a virtual machine knows its NICs";
      throw new GuestFault("E_INVALIDARG", `NIC ${ID} has no address: ${expected}`);
    }
    const address = MacAddress.replaceAll("-", ":").toLowerCase();
    const found = readdirSync(interfaces).find((each) => addressOf(join(interfaces, each)) === address);
    if (found === undefined) return undefined;
    rename(found, name);
    return name;
  };
}

/** Undefined for an interface that is no device, such as one of a bridge, which may have the address of a NIC. */
function addressOf(folder: string): string | undefined {
  if (!existsSync(join(folder, "device"))) return undefined;
  try {
    return readFileSync(join(folder, "address"), "utf8").trim();
  } catch (error) {
    // It has been removed meanwhile.
    if (["ENOENT", "ENODEV"].includes((error as NodeJS.ErrnoException).code ?? "")) return undefined;
    throw error;
  }
}
