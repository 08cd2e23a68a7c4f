/** How fast a shim answers, spoken to at its socket as containerd speaks to it. */
import { readFileSync } from "node:fs";
import { connect, type Socket } from "node:net";
import { join } from "node:path";
import { TtrpcClient } from "@uvm-shim/ttrpc";
import { Task } from "../../shim-client/shim.ts";
import { interleave, percentile } from "../statistics.ts";
import { type Ratio, ratioOf } from "./ratio.ts";
import { type RunningPod, removePods, type Side, type Stand } from "./stand.ts";

export type Method = "State" | "Pids";

/** As containerd has them when a kubelet asks for all containers at once. */
const IN_FLIGHT = 16;
const WARM_UP_MS = 300;
const RATE_MS = 1_000;
const LEAST_CALLS = 300;
const LATENCY_MS = 1_000;

/** The socket at which the shim of a container serves, as containerd has written it down. */
export function shimSocket({ containerd }: Stand, container: string): string {
  const bundle = join(containerd.state, "io.containerd.runtime.v2.task", containerd.namespace, container);
  const path = readFileSync(join(bundle, "bootstrap.json"), "utf8").match(/"(?:ttrpc\+)?unix:\/\/([^"]+)"/)?.[1];
  if (path === undefined) throw new Error(`${bundle}/bootstrap.json names no socket`);
  return path;
}

export async function dial(path: string): Promise<Socket> {
  const socket = connect(path);
  await new Promise<void>((resolve, reject) => socket.once("connect", resolve).once("error", reject));
  return socket;
}

/** A client of the shim of a pod's container. */
export class Caller implements Disposable {
  readonly #client: TtrpcClient;
  readonly #id: string;

  private constructor(client: TtrpcClient, id: string) {
    this.#client = client;
    this.#id = id;
  }

  static async connect(stand: Stand, { container }: RunningPod): Promise<Caller> {
    return new Caller(new TtrpcClient(await dial(shimSocket(stand, container))), container);
  }

  async call(method: Method): Promise<unknown> {
    return await this.#client.call(Task, method, { id: this.#id });
  }

  /** Calls a second, for so long. */
  async rate(method: Method, milliseconds: number): Promise<number> {
    const started = performance.now();
    let count = 0;
    const callInTurns = async (): Promise<void> => {
      while (performance.now() - started < milliseconds) {
        await this.call(method);
        count += 1;
      }
    };
    await Promise.all(Array.from({ length: IN_FLIGHT }, callInTurns));
    return (count * 1000) / (performance.now() - started);
  }

  /** Milliseconds of each call, one at a time, for so long and so often at least. */
  async latencies(method: Method, milliseconds = LATENCY_MS): Promise<readonly number[]> {
    const started = performance.now();
    const values: number[] = [];
    while (values.length < LEAST_CALLS || performance.now() - started < milliseconds) {
      const before = performance.now();
      await this.call(method);
      values.push(performance.now() - before);
    }
    return values;
  }

  [Symbol.dispose](): void {
    this.#client.close();
  }
}

/** One pod of each side, called in turns. */
export async function compareCalls(stand: Stand, pairs: number, method: Method): Promise<readonly Ratio[]> {
  const pods: RunningPod[] = [];
  try {
    const callers = { ours: await add("ours"), peers: await add("peers") };
    using _ours = callers.ours;
    using _peers = callers.peers;
    const one = async (side: Side) => ({
      rate: await callers[side].rate(method, RATE_MS),
      tail: percentile(await callers[side].latencies(method), 0.99),
    });
    const { ours, peers } = await interleave(
      pairs,
      () => one("ours"),
      () => one("peers"),
    );
    const [rate, tail] =
      method === "State" ? (["state-rate", "state-p99"] as const) : (["pids-rate", "pids-p99"] as const);
    return [
      ratioOf(
        rate,
        ours.map((value) => value.rate),
        peers.map((value) => value.rate),
      ),
      ratioOf(
        tail,
        ours.map((value) => value.tail),
        peers.map((value) => value.tail),
      ),
    ];
  } finally {
    await removePods(pods);
  }

  async function add(side: Side): Promise<Caller> {
    const pod = await stand.runPod(side);
    pods.push(pod);
    const caller = await Caller.connect(stand, pod);
    await caller.rate(method, WARM_UP_MS);
    return caller;
  }
}
