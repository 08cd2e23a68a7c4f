/**
 * hvsockets of the emulated host, in the "hybrid vsock" convention. The guest dials port P of the host at the Unix socket
 * `<base>_P`. The host dials a port of the guest at `<base>`: it sends `CONNECT P`, and the guest answers `OK P`. This is
 * what the host needs; guest/hvsockets.ts is the guest's side.
 */
/** Neither side reads a longer line. */
export const longestHvsocketLine = 32;

/** The socket where the guest finds a port of the host. */
export function hostPortPath(base: string, port: number): string {
  return `${base}_${port}`;
}

/**
 * The socket where the guest finds a service of the host. The convention has ports only, and the address of a socket has no
 * room for a GUID: it is that of the port in the GUID's first 32 bits, vsock port or not.
 */
export function hostServicePath(base: string, serviceGuid: string): string {
  return hostPortPath(base, Number.parseInt(serviceGuid.slice(0, 8), 16));
}

/** What asks for a connection to a port, without line end. */
export function connectLine(port: number): string {
  return `CONNECT ${port}`;
}

/** The line of a guest that accepts. The convention lets it answer with another number than that of the port. */
export const acceptancePattern = /^OK \d+$/;
