import type { Readable, Writable } from "node:stream";

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
