import type { Readable, Writable } from "node:stream";
import { Fifos } from "./fifos.ts";
import { Pipes } from "./pipes.ts";

/** The client's ends of a process's stdio. */
export interface ClientStdio {
  readonly stdin: Writable;
  readonly stdout: Readable;
  readonly stderr: Readable;
  /** As the Create and Exec requests take them. */
  readonly paths: {
    readonly stdin: string;
    readonly stdout: string;
    readonly stderr: string;
    readonly terminal: boolean;
  };
  /** Everything that the process prints, once its shim has closed its ends. */
  output(): Promise<{ readonly stdout: Buffer; readonly stderr: Buffer }>;
  close(): void;
}

/** Makes them for a process of a bundle: FIFOs there, or pipes named after it on Windows. */
export function makeStdio(bundle: string, stem: string, terminal: boolean): Promise<ClientStdio> {
  return process.platform === "win32" ? Pipes.serve(bundle, stem, terminal) : Fifos.make(bundle, stem, terminal);
}
