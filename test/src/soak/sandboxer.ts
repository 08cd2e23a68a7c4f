/** A sandboxer that lives long: pods come and go, one after another and many at a time, and it holds no more than before. */
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { isDeepStrictEqual } from "node:util";
import { hostVariables } from "@uvm-shim/host-protocol";
import { SandboxerProcess, sandboxerSocket } from "../e2e/sandboxer.ts";
import { EventSink } from "../shim-client/events.ts";
import { SandboxerClient } from "../shim-client/sandboxer-client.ts";
import { poll } from "../support/wait.ts";
import { type Figure, growthOf, MOMENTS, type Soaked, showFigures } from "./figures.ts";
import { countHeld, findHost, measureHeld, type SandboxerPlaces } from "./sandboxer-figures.ts";
import { ReportingShim } from "./shim-heap.ts";

/** How many pods are to come and go before the sandboxer counts as fresh: what it loads for its first is then there. */
const FIRST_PODS = 5;
const SETTLE_MS = 10_000;
const REST_MS = 500;
/** One pod of so many has a container, and one is handed over. */
const CONTAINER_EVERY = 5;
const HANDED_EVERY = 10;

export interface SandboxerAmount {
  /** How many pods, one after another. */
  readonly pods: number;
  /** How many at a time afterwards, and for how long. */
  readonly atOnce: number;
  readonly seconds: number;
}

export interface SandboxerSoak {
  readonly directory: string;
  readonly rootfs: string;
  readonly signal: AbortSignal;
  readonly print: (line: string) => void;
}

interface Stage {
  readonly client: SandboxerClient;
  readonly places: SandboxerPlaces;
  readonly reporting: ReportingShim;
  readonly signal: AbortSignal;
  readonly runPod: () => Promise<void>;
}

/** Prints what it held, and answers how many figures were flat and how many were not. */
export async function soakSandboxer(
  { directory, rootfs, signal, print }: SandboxerSoak,
  amount: SandboxerAmount,
): Promise<{ readonly passed: number; readonly failed: number }> {
  const [own, clients] = ["sandboxer", "clients"].map((name) => join(directory, name)) as [string, string];
  mkdirSync(own, { mode: 0o700 });
  mkdirSync(clients);
  const containerd = join(directory, "containerd");
  const eventSocket = `${containerd}.ttrpc`;
  const reporting = new ReportingShim(own);
  const records = join(own, "records");
  const sockets = join(own, "sockets");
  const sandboxer = new SandboxerProcess({
    ...{ executable: reporting.executable, directory: own, containerd, debug: false },
    environment: {
      ...process.env,
      ...reporting.environment,
      [hostVariables.idleMs]: "600000",
      UVM_SHIM_RECORDS: records,
      UVM_SHIM_SOCKET_DIRECTORY: sockets,
    },
  });
  await using events = await listenForEvents(eventSocket);
  await sandboxer.start(signal);
  const client = new SandboxerClient({ socket: sandboxerSocket(own), eventSocket, directory: clients, rootfs });
  let count = 0;
  const runPod = async (): Promise<void> => {
    count += 1;
    // What nobody looks at is not kept either.
    events.sink.events.length = 0;
    if (count % HANDED_EVERY === 0) await client.handedPod(`pod-${count}`);
    else await client.ownPod(`pod-${count}`, { hasContainer: count % CONTAINER_EVERY === 1 });
  };
  try {
    for (let pod = 0; pod < FIRST_PODS; pod += 1) await runPod();
    const folders = { state: sandboxer.state, records, sockets, clients };
    const places = { pid: sandboxer.pid, host: findHost(), folders };
    const stage: Stage = { client, places, reporting, signal, runPod };
    const total = { passed: 0, failed: 0 };
    for (const [heading, work] of [
      [`${amount.pods} pods, one after another`, inTurn(stage, amount.pods)],
      [`${amount.atOnce} pods at a time for ${amount.seconds} s`, atOnce(stage, amount.atOnce, amount.seconds)],
    ] as const) {
      const before = count;
      const started = performance.now();
      const soaked = await soak(stage, work);
      const seconds = (performance.now() - started) / 1000;
      const growth = growthOf(soaked);
      print(`a sandboxer: ${heading}: ${count - before} pods in ${seconds.toFixed(0)} s\n`);
      print(`${showFigures(soaked)}\n`);
      for (const line of growth) print(`not flat: ${line}`);
      total.passed += soaked.end.length - growth.length;
      total.failed += growth.length;
    }
    return total;
  } finally {
    client.close();
    await sandboxer.stop();
  }
}

async function listenForEvents(socket: string) {
  const sink = await EventSink.listen(socket);
  return { sink, [Symbol.asyncDispose]: () => sink.close() };
}

/** Does the work up to a part of the whole. */
type Work = (part: number) => Promise<void>;

function inTurn({ runPod, signal }: Stage, pods: number): Work {
  let done = 0;
  return async (part) => {
    for (; done < Math.round(pods * part); done += 1) {
      signal.throwIfAborted();
      await runPod();
    }
  };
}

function atOnce({ runPod, signal }: Stage, workers: number, seconds: number): Work {
  let done = 0;
  return async (part) => {
    const until = performance.now() + (part - done) * seconds * 1000;
    done = part;
    const work = async (): Promise<void> => {
      while (performance.now() < until) {
        signal.throwIfAborted();
        await runPod();
      }
    };
    await Promise.all(Array.from({ length: workers }, work));
  };
}

async function soak(stage: Stage, work: Work): Promise<Soaked> {
  const { places, reporting, signal } = stage;
  let last: readonly Figure[] = [];
  const atRest = (): readonly Figure[] | undefined => {
    const before = last;
    last = countHeld(places);
    return isDeepStrictEqual(before, last) ? last : undefined;
  };
  const fresh = await poll("the sandboxer to rest", atRest, { timeoutMs: SETTLE_MS, intervalMs: REST_MS, signal });
  const settled = async (): Promise<readonly Figure[]> => {
    const isFresh = (): true | undefined => isDeepStrictEqual(countHeld(places), fresh) || undefined;
    // What is held for longer shows in the figures.
    await poll("the sandboxer to settle", isFresh, { timeoutMs: SETTLE_MS, signal }).catch(() =>
      signal.throwIfAborted(),
    );
    return [...(await measureHeld(places, reporting)), ...countHeld(places)];
  };
  const until = async (part: number): Promise<readonly Figure[]> => {
    await work(part);
    return await settled();
  };
  return {
    fresh: await until(MOMENTS.fresh),
    start: await until(MOMENTS.start),
    middle: await until(MOMENTS.middle),
    end: await until(MOMENTS.end),
  };
}
