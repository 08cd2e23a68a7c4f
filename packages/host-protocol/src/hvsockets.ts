/**
 * hvsockets of the emulated host, in the "hybrid vsock" convention. The guest dials port P of the host at the Unix
 * socket `<base>_P`. The host dials a port of the guest at `<base>`: it sends `CONNECT P`, and the guest answers `OK
 * P`.
 */

/** Name of the base in the VM's folder. */
export const hvsocketBaseName = "hv.vsock";

/** The longest name of a socket in the VM's folder. */
export const longestHvsocketName = hostPortPath(hvsocketBaseName, 0xffffffff);

/** Neither side reads a longer line. */
export const longestHvsocketLine = 32;

/** The socket where the guest finds a port of the host. */
export function hostPortPath(base: string, port: number): string {
  return `${base}_${port}`;
}

export function connectLine(port: number): string {
  return `CONNECT ${port}`;
}

/** The port that a line asks for; undefined when it is no such line. */
export function portOfConnectLine(line: string): number | undefined {
  const port = /^CONNECT ([0-9]{1,10})$/.exec(line)?.[1];
  return port === undefined ? undefined : Number(port);
}

export function acceptanceLine(port: number): string {
  return `OK ${port}`;
}

/** Whether the guest accepted. The convention lets it answer with another number than that of the port. */
export function isAcceptanceLine(line: string): boolean {
  return /^OK \d+$/.test(line);
}
