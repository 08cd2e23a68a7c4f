import { closeSync, constants, openSync } from "node:fs";
import { invoke } from "./libc.ts";
import { emptyOf, interfaceRequest } from "./structures.ts";

const IFNAMSIZ = 16;
const TUNSETIFF = 0x400454ca;
const IFF_TAP = 2;
const IFF_NO_PI = 0x1000;
const IFF_VNET_HDR = 0x4000;
/** Where the flags are in struct ifreq, after its name. */
const flagsOffset = IFNAMSIZ;

/**
 * Creates a tap interface in the network namespace of this thread. Who holds the descriptor sends and receives its frames,
 * each after a virtio header; the interface ends when the last copy is closed. The caller owns the descriptor, which does not
 * block.
 */
export function openTap(name: string): number {
  if (name === "" || Buffer.byteLength(name) >= IFNAMSIZ) {
    throw new RangeError(`invalid interface name ${JSON.stringify(name)}: expected 1 to ${IFNAMSIZ - 1} bytes`);
  }
  const descriptor = openSync("/dev/net/tun", constants.O_RDWR | constants.O_NONBLOCK);
  try {
    const request = emptyOf(interfaceRequest);
    request.write(name);
    request.writeUInt16LE(IFF_TAP | IFF_NO_PI | IFF_VNET_HDR, flagsOffset);
    invoke("ioctl", `TUNSETIFF ${name}`, descriptor, TUNSETIFF, request);
    return descriptor;
  } catch (error) {
    closeSync(descriptor);
    throw error;
  }
}
