import { closeSync } from "node:fs";
import koffi from "koffi";
import { invoke } from "./libc.ts";
import { emptyOf, interfaceRequest } from "./structures.ts";

const AF_INET = 2;
const SOCK_DGRAM = 2;
const SOCK_CLOEXEC = 0o2000000;
const SIOCGIFFLAGS = 0x8913;
const SIOCSIFFLAGS = 0x8914;
const SIOCSIFNAME = 0x8923;
const IFF_UP = 1;
const IFNAMSIZ = 16;

/** Brings up the loopback interface of the current network namespace. */
export function bringLoopbackUp(): void {
  withSocket((request) => {
    const bytes = requestFor("lo");
    request("SIOCGIFFLAGS lo", SIOCGIFFLAGS, bytes);
    const offset = koffi.offsetof(interfaceRequest, "ifr_flags");
    bytes.writeInt16LE(bytes.readInt16LE(offset) | IFF_UP, offset);
    request("SIOCSIFFLAGS lo", SIOCSIFFLAGS, bytes);
  });
}

/** Renames an interface of the current network namespace. It must be down. */
export function renameInterface(from: string, to: string): void {
  withSocket((request) => {
    const bytes = requestFor(from);
    bytes.write(to, IFNAMSIZ, IFNAMSIZ - 1);
    request(`SIOCSIFNAME ${from} to ${to}`, SIOCSIFNAME, bytes);
  });
}

function requestFor(name: string): Buffer {
  const bytes = emptyOf(interfaceRequest);
  bytes.write(name, 0, IFNAMSIZ - 1);
  return bytes;
}

type Request = (subject: string, number: number, bytes: Buffer) => unknown;

function withSocket(act: (request: Request) => void): void {
  const socket = invoke("socket", "AF_INET", AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  try {
    act((subject, number, bytes) => invoke("ioctl", subject, socket, number, bytes));
  } finally {
    closeSync(socket);
  }
}
