/** The guest's side of its hvsockets; see ../hvsockets.ts. */
import { hostPortPath } from "../hvsockets.ts";

/** Name of the base in the VM's folder. */
export const hvsocketBaseName = "hv.vsock";

/** The longest name of a socket in the VM's folder. */
export const longestHvsocketName = hostPortPath(hvsocketBaseName, 0xffffffff);

/** The port that a line requests; undefined if it is no request. */
export function portOfConnectLine(line: string): number | undefined {
  const port = /^CONNECT ([0-9]{1,10})$/.exec(line)?.[1];
  return port === undefined ? undefined : Number(port);
}

/** What accepts a connection to a port, without line end. */
export function acceptanceLine(port: number): string {
  return `OK ${port}`;
}
