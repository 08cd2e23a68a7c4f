/**
 * Programs of a pod at the limit of their descriptors, which moves up: each place that opens something is in turn the one
 * that cannot. What is asked then is done, or refused as what it is; what there was before lives on, and nothing is left.
 */
import assert from "node:assert/strict";
import { once } from "node:events";
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { connect, type Socket } from "node:net";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { containerd } from "@uvm-shim/shim/protocol";
import { mustRun } from "@uvm-shim/test-support/command";
import { failingCallsModule, failingCallsSocketVariable } from "@uvm-shim/test-support/failing-calls";
import { TtrpcClient, TtrpcError } from "@uvm-shim/ttrpc";
import type { Pod, PodContainer } from "../../shim-client/pod.ts";
import { Task } from "../../shim-client/shim.ts";
import { WAIT_MS } from "../../support/guest-kind.ts";
import { makeLoadedShim } from "../../support/loaded-shim.ts";
import { makeLoggingProgram } from "../../support/logging-program.ts";
import { findServers, type Server } from "../../support/servers.ts";
import { poll } from "../../support/wait.ts";
import {
  assertRefused,
  directoryRootfs,
  type ProtocolCase,
  type ProtocolCaseContext,
  runToEnd,
  withContainer,
  withPod,
} from "./protocol.ts";

const ENOUGH = 1024;
const SIGKILL = 9;
const { RUNNING } = containerd.v1.types.Status;

interface Sweep {
  readonly server: Server;
  /** How many descriptors it is left, one after the other; with the last everything is done. */
  readonly free: readonly number[];
  /** How what it cannot open is refused. */
  readonly refusal: RegExp;
}

const lack = "EMFILE|[Tt]oo many open files";

const sweeps: readonly Sweep[] = [
  // Whoever connects to one that can take no connection sees that connection end.
  {
    ...{ server: "shim", free: [0, 1, 3, 5, 7, 11, 24] },
    refusal: new RegExp(`^ResourceExhausted: .*(${lack})|^Unavailable: .*the connection ended before the answer`),
  },
  // The reference's guest knows no number for it, and reports to the host that it has failed.
  {
    ...{ server: "guest agent", free: [0, 1, 2, 6, 40] },
    refusal: new RegExp(`^(Internal|Unavailable): .*(${lack})`),
  },
  {
    ...{ server: "emulated host", free: [0, 1, 2, 8] },
    refusal: new RegExp(`^ResourceExhausted: .*(${lack}).*ERROR_TOO_MANY_OPEN_FILES`),
  },
];

function descriptorsOf(pid: number): readonly number[] {
  return readdirSync(`/proc/${pid}/fd`).map(Number);
}

/** Leaves a process this many descriptors to open; open ones stay open. */
async function leaveDescriptors(pid: number, free: number): Promise<void> {
  const open = new Set(descriptorsOf(pid));
  let limit = 0;
  for (let left = free; left > 0 || open.has(limit); limit += 1) if (!open.has(limit)) left -= 1;
  await mustRun("prlimit", [`--pid=${pid}`, `--nofile=${limit}:`]);
}

/** FIFOs are named after their execs, and made once. */
let execs = 0;

const work: {
  readonly [what: string]: (context: ProtocolCaseContext, container: PodContainer, pod: Pod) => Promise<void>;
} = {
  async container(context, _container, pod) {
    const other = await pod.createContainer({ id: "c2", args: ["true"], rootfs: directoryRootfs(context) });
    const started = await other.start().then(
      () => other.wait().then(() => undefined),
      (error: unknown) => ({ error }),
    );
    // What could not be given back can be given back later.
    const deleted = await other.delete().then(
      () => undefined,
      (error: unknown) => other.delete().then(() => ({ error })),
    );
    const failure = started ?? deleted;
    if (failure !== undefined) throw failure.error;
  },

  async exec(_context, container) {
    execs += 1;
    const id = `e${execs}`;
    const stdio = await container.exec(id, { args: ["true"] }).catch(async (error: unknown) => {
      // One that was added, and could not be started, is there.
      await container.deleteExec(id).catch((missing: unknown) => assert.match(String(missing), /does not exist/));
      throw error;
    });
    await container.wait(id);
    await container.deleteExec(id);
    stdio.close();
  },

  async "logging program"(context, container) {
    const stdout = `binary://${join(context.directory, "logger", "logger")}`;
    await container.addExec("logged", { args: ["true"] }, { stdout });
    try {
      await container.startExec("logged");
      await container.wait("logged");
    } finally {
      await container.deleteExec("logged");
    }
  },

  async connection(_context, _container, pod) {
    const address = readFileSync(join(pod.identity.bundle, "address"), "utf8").replace(/^unix:\/\//, "");
    const client = new TtrpcClient(connect(address));
    try {
      await client.call(Task, "Connect", { id: "pod" });
    } finally {
      client.close();
    }
  },
};

async function sweep(context: ProtocolCaseContext, { server, free, refusal }: Sweep): Promise<void> {
  makeLoggingProgram(join(context.directory, "logger"));
  await withContainer(context, ["sleep", "1000"], async (container, pod) => {
    for (const what of Object.values(work)) await what(context, container, pod);
    const pid = findServers()[server];
    const before = descriptorsOf(pid).length;
    let refusals = 0;
    for (const left of free) {
      for (const [what, act] of Object.entries(work)) {
        await leaveDescriptors(pid, left);
        const failure = await act(context, container, pod).then(
          () => undefined,
          (error: unknown) => error,
        );
        await mustRun("prlimit", [`--pid=${pid}`, `--nofile=${ENOUGH}:`]);
        if (failure === undefined) continue;
        refusals += 1;
        const said = failure instanceof TtrpcError ? `${failure.code}: ${failure.message}` : String(failure);
        assert.match(said, refusal, `${what} with ${left} descriptors left: ${said}`);
        assert.notEqual(left, free.at(-1), `${what} is refused with ${left} descriptors left: ${said}`);
      }
      assert.equal((await pod.shim.call(Task, "State", { id: container.id })).status, RUNNING);
    }
    assert.ok(refusals >= free.length - 1, `${refusals} refusals`);
    const isAsBefore = (): true | undefined => descriptorsOf(pid).length <= before || undefined;
    await poll(`the ${server} to hold no more descriptors`, isAsBefore, { timeoutMs: WAIT_MS, signal: context.signal });
    for (const what of Object.values(work)) await what(context, container, pod);
  });
}

/** A shim with the module of failing calls, and the connection by which that is controlled. */
class FailingShim {
  readonly executable: string;
  readonly environment: { readonly [name: string]: string };
  readonly #socket: string;
  #connection: Socket | undefined;

  constructor(directory: string) {
    this.executable = makeLoadedShim(directory, pathToFileURL(failingCallsModule).href);
    this.#socket = join(directory, "failing.sock");
    this.environment = { [failingCallsSocketVariable]: this.#socket };
  }

  async connect(): Promise<void> {
    this.#connection = connect(this.#socket).setEncoding("utf8");
    await once(this.#connection, "connect");
  }

  /** Begins to count, and to fail the call of this number, if any. */
  async begin(fault?: { readonly call: number; readonly code: string }): Promise<void> {
    await this.#ask(fault === undefined ? "count" : `fail ${fault.call} ${fault.code}`);
  }

  async report(): Promise<{ readonly calls: readonly string[]; readonly struck?: string }> {
    return (await this.#ask("report")) as { calls: string[]; struck?: string };
  }

  close(): void {
    this.#connection?.destroy();
  }

  async #ask(line: string): Promise<object> {
    const connection = this.#connection as Socket;
    const answered = once(connection, "data");
    connection.write(`${line}\n`);
    return JSON.parse(String((await answered)[0]));
  }
}

const codes = ["EMFILE", "ENFILE", "ENOMEM"] as const;

/** Each call that opens or starts something fails in turn. */
async function failEachCall(context: ProtocolCaseContext): Promise<void> {
  makeLoggingProgram(join(context.directory, "logger"));
  const directory = join(context.directory, "failing");
  mkdirSync(directory, { mode: 0o700 });
  const failing = new FailingShim(directory);
  const environment = { ...context.environment, ...failing.environment };
  await withContainer(
    { ...context, executable: failing.executable, environment },
    ["sleep", "1000"],
    async (c1, pod) => {
      // Else it would be looked for again and again.
      writeFileSync(join(context.directory, "pod", "log"), "");
      await failing.connect();
      const pid = findServers().shim;
      const kinds = new Set<string>();
      for (const [what, act] of Object.entries(work)) {
        await act(context, c1, pod);
        await failing.begin();
        await act(context, c1, pod);
        const { calls } = await failing.report();
        const before = descriptorsOf(pid).length;
        for (const [call, kind] of calls.entries()) {
          kinds.add(kind);
          const faults = kind === "spawn" ? [...codes, "EAGAIN"] : [codes[call % codes.length] as string];
          for (const code of faults) {
            await failing.begin({ call, code });
            const failure = await act(context, c1, pod).then(
              () => undefined,
              (error: unknown) => error,
            );
            const { struck = "nothing" } = await failing.report();
            const point = `${what}, call ${call} ${code}, which was ${struck}`;
            if (failure !== undefined) {
              assert.ok(failure instanceof TtrpcError, `${point}: ${failure}`);
              assert.equal(failure.code, "ResourceExhausted", `${point}: ${failure.message}`);
            }
          }
        }
        await failing.begin();
        const isAsBefore = (): true | undefined => descriptorsOf(pid).length <= before || undefined;
        await poll(`no more descriptors, ${what}`, isAsBefore, { timeoutMs: WAIT_MS, signal: context.signal });
        await act(context, c1, pod);
      }
      assert.deepEqual([...kinds].toSorted(), ["listen", "open", "openSync", "readFile", "readFileSync", "spawn"]);
      failing.close();
    },
  );
}

/** As a machine's administrator may start containerd. */
async function fewFromTheStart(context: ProtocolCaseContext): Promise<void> {
  const executable = join(context.directory, "few-descriptors");
  writeFileSync(executable, `#!/bin/sh\nulimit -n 64\nexec "${context.executable}" "$@"\n`, { mode: 0o755 });
  await withPod({ ...context, executable }, async (pod) => {
    const containers: PodContainer[] = [];
    const create = (): Promise<PodContainer> =>
      pod.createContainer({
        ...{ id: `c${containers.length}`, args: ["sleep", "1000"], rootfs: directoryRootfs(context) },
      });
    let refused: Promise<unknown> | undefined;
    while (refused === undefined) {
      const creating = create();
      const container = await creating.catch(() => undefined);
      const started = container?.start();
      const failed = await started?.then(
        () => false,
        () => true,
      );
      if (container === undefined) refused = creating;
      else if (failed) {
        refused = started;
        await container.delete();
      } else containers.push(container);
    }
    await assertRefused(refused, "ResourceExhausted");
    assert.ok(containers.length > 1, `only ${containers.length} containers`);
    for (const { id } of containers) assert.equal((await pod.shim.call(Task, "State", { id })).status, RUNNING);
    const end = async (container: PodContainer): Promise<void> => {
      await container.kill(SIGKILL);
      await container.wait();
      await container.delete();
    };
    await end(containers.pop() as PodContainer);
    await end(containers.pop() as PodContainer);
    // What was held is there again.
    const again = await pod.createContainer({ id: "again", args: ["true"], rootfs: directoryRootfs(context) });
    assert.equal((await runToEnd(again)).status, 0);
    for (const container of containers) await end(container);
  });
}

export const protocolDescriptorCases: readonly ProtocolCase[] = [
  ...sweeps.map((one) => ({
    name: `whatever the ${one.server} cannot open for want of descriptors is refused, and what there is lives on`,
    run: (context: ProtocolCaseContext) => sweep(context, one),
  })),
  { name: "each call of the shim that opens something may fail, and the request is refused", run: failEachCall },
  {
    name: "a shim limited to 64 open files refuses one container too many, and the others live on",
    run: fewFromTheStart,
  },
];
