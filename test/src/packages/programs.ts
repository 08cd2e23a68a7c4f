/** The programs of packages, as npx starts them out of the project. */
import { connect, type Socket } from "node:net";
import { delimiter, dirname, join } from "node:path";
import { hostVariables } from "@uvm-shim/host-protocol";
import { describe, type RunningCommand, startCommand } from "@uvm-shim/test-support/command";
import { poll } from "../support/wait.ts";
import type { Consumer } from "./consumer.ts";
import type { Runtime } from "./runtimes.ts";

const programTimeoutMs = 60_000;
const hostTimeoutMs = 600_000;

/** On Node of this version, without asking the registry for what is not installed. */
function npx(
  consumer: Consumer,
  node: Runtime,
  args: readonly string[],
  options: { timeoutMs: number },
): RunningCommand {
  const environment = {
    ...process.env,
    PATH: [dirname(node.program), process.env.PATH].join(delimiter),
    [hostVariables.idleMs]: "1000",
  };
  return startCommand("npx", ["--no-install", ...args], {
    ...{ directory: consumer.folder, environment, ...options },
  });
}

/** Whether a program says how it is used. */
export async function programProblems(consumer: Consumer, bin: string, node: Runtime): Promise<readonly string[]> {
  const started = npx(consumer, node, [bin, "--help"], { timeoutMs: programTimeoutMs });
  started.process.stdin?.end();
  const result = await started.finished;
  return result.status === 0 && result.stdout.length > 0
    ? []
    : [`npx ${bin} --help on ${node.title}: ${describe(result)}`];
}

/** The emulated host of the installed package. It ends by itself once nobody is connected, so it is kept by a connection. */
export class InstalledHost {
  readonly socketPath: string;
  readonly #running: RunningCommand;
  readonly #connection: Socket;

  private constructor(socketPath: string, running: RunningCommand, connection: Socket) {
    this.socketPath = socketPath;
    this.#running = running;
    this.#connection = connection;
  }

  static async start(consumer: Consumer, node: Runtime): Promise<InstalledHost> {
    const socketPath = join(consumer.folder, `host-${node.title.replaceAll(/\W/g, "-")}`, "host.sock");
    const running = npx(consumer, node, ["hcs-emulator", "--socket", socketPath], { timeoutMs: hostTimeoutMs });
    running.process.stdin?.end();
    const ended = new AbortController();
    void running.finished.then((result) => ended.abort(new Error(describe(result))));
    const connection = await poll("the host's socket", () => tryToConnect(socketPath), {
      timeoutMs: programTimeoutMs,
      signal: ended.signal,
    }).catch((error: unknown) => {
      throw ended.signal.aborted ? ended.signal.reason : error;
    });
    return new InstalledHost(socketPath, running, connection);
  }

  async close(): Promise<readonly string[]> {
    this.#connection.destroy();
    const result = await this.#running.finished;
    return result.status === 0 ? [] : [describe(result)];
  }
}

function tryToConnect(path: string): Promise<Socket | undefined> {
  return new Promise((resolve) => {
    const socket = connect(path);
    socket.once("connect", () => resolve(socket));
    socket.once("error", () => resolve(undefined));
  });
}
