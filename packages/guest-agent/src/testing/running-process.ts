import type { Socket } from "node:net";
import type { Collected } from "./collected.ts";

export interface Finished {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

export async function finish({ stdin, stdout, stderr, exit }: RunningProcess): Promise<Finished> {
  stdin.end();
  const code = await exit;
  return { code, stdout: (await stdout.all).toString(), stderr: ((await stderr?.all) ?? "").toString() };
}

export interface RunningProcess {
  readonly pid: number;
  readonly stdin: Socket;
  readonly stdout: Collected;
  readonly stderr: Collected | undefined;
  readonly exit: Promise<number>;
}
