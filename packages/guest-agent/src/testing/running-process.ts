/** The processes of a machine, as a host starts them and reads their output. */
import type { Socket } from "node:net";
import { type GcsBridgeClient, infiniteTimeout } from "@uvm-shim/gcs-bridge";
import type { LinuxProcessParameters } from "@uvm-shim/hcs-schema";
import { delay } from "@uvm-shim/lifecycle";
import { type Collected, collect } from "./collected.ts";

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

/** What starting a process needs of the machine. */
export interface ProcessHost {
  readonly client: GcsBridgeClient;
  /** Leaves outputs open after their end, for a test to close them. */
  readonly keepsOutputs: boolean;
  /** A port that no stream has used yet. */
  newPort(): number;
  /** The guest's next connection to a port. */
  accept(port: number): Promise<Socket>;
}

/** `unread`: outputs are not read until their sockets are resumed. */
export type StartParameters = Partial<LinuxProcessParameters> & { readonly unread?: boolean };

/** Starts a process with the pipes that the parameters request. */
export async function startProcess(
  host: ProcessHost,
  containerId: string,
  { unread, ...parameters }: StartParameters,
): Promise<RunningProcess> {
  const terminal = parameters.EmulateConsole === true;
  const all: LinuxProcessParameters = {
    EmulateConsole: false,
    CreateStdInPipe: true,
    CreateStdOutPipe: true,
    CreateStdErrPipe: !terminal,
    ...parameters,
  };
  const take = (isRequested: boolean) => {
    if (!isRequested) return undefined;
    const port = host.newPort();
    return { port, socket: host.accept(port) };
  };
  const stdin = take(all.CreateStdInPipe);
  const stdout = take(all.CreateStdOutPipe);
  const stderr = take(all.CreateStdErrPipe);
  await delay(0);
  const { ProcessId: pid } = await host.client.request("executeProcess", containerId, {
    Settings: {
      ProcessParameters: JSON.stringify(all),
      VsockStdioRelaySettings: {
        ...(stdin === undefined ? {} : { StdIn: stdin.port }),
        ...(stdout === undefined ? {} : { StdOut: stdout.port }),
        ...(stderr === undefined ? {} : { StdErr: stderr.port }),
      },
    },
  });
  const exit = host.client
    .request("waitForProcess", containerId, { ProcessId: pid, TimeoutInMs: infiniteTimeout })
    .then(({ ExitCode }) => ExitCode);
  // Tests that are not about exits leave processes running until the machine ends.
  exit.catch(() => {});
  const options = { keepsOpen: host.keepsOutputs };
  const output = async (of: typeof stdout): Promise<Collected | undefined> => {
    const socket = await of?.socket;
    const collected = socket && collect(socket, options);
    if (unread) socket?.pause();
    return collected;
  };
  return {
    pid,
    ports: { stdout: stdout?.port, stderr: stderr?.port },
    stdin: (await stdin?.socket) as Socket,
    stdout: (await output(stdout)) as Collected,
    stderr: await output(stderr),
    exit,
  };
}
