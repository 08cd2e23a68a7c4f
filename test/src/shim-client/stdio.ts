import type { ClientStdio } from "./client-stdio.ts";
import { Fifos } from "./fifos.ts";
import { Pipes } from "./pipes.ts";

/** Makes the client's ends of stdio for a process of a bundle: FIFOs there, or pipes named after it on Windows. */
export function makeStdio(bundle: string, stem: string, terminal: boolean): Promise<ClientStdio> {
  return process.platform === "win32" ? Pipes.serve(bundle, stem, terminal) : Fifos.make(bundle, stem, terminal);
}
