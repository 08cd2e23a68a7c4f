import type { Socket } from "node:net";
import type { Collected } from "./collected.ts";

/** A process that has ended, with all that it has written. */
export interface Finished {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** Ends a process's input, and waits for its output and its exit. */
export async function finish({ stdin, stdout, stderr, exit }: RunningProcess): Promise<Finished> {
  stdin.end();
  const outputs = await Promise.all([stdout.all, stderr?.all]);
  for (const output of [stdout, stderr]) output?.socket.end();
  const [out = "", err = ""] = outputs.map(String);
  return { code: await exit, stdout: out, stderr: stderr === undefined ? "" : err };
}

/** A process in a guest, with the host's ends of its streams. */
export interface RunningProcess {
  readonly pid: number;
  readonly ports: { readonly stdout: number | undefined; readonly stderr: number | undefined };
  readonly stdin: Socket;
  readonly stdout: Collected;
  readonly stderr: Collected | undefined;
  readonly exit: Promise<number>;
}
