import { randomUUID } from "node:crypto";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import net from "node:net";
import { tmpdir } from "node:os";
import path from "node:path";
import { type Clock, systemClock } from "@uvm-shim/lifecycle";
import { ManualClock } from "@uvm-shim/lifecycle/testing";
import { type CallOptions, TtrpcClient } from "@uvm-shim/ttrpc";
import { expect } from "vitest";
import { containerd } from "../generated/messages.js";
import type { Records } from "../record/ring.ts";
import { createServices, type Services } from "../services/services.ts";
import { EventServer } from "./event-server.ts";
import { type FakeContainer, FakePlatform, type FakeSandbox } from "./fake-platform.ts";

const { Task } = containerd.task.v3;
const { Sandbox } = containerd.runtime.sandbox.v1;
type TaskMethod = keyof typeof Task.methods;
/** The request of a method of the Task service. */
export type TaskInput<M extends TaskMethod> = Parameters<(typeof Task.methods)[M]["request"]["encode"]>[0];
type TaskOutput<M extends TaskMethod> = ReturnType<(typeof Task.methods)[M]["response"]["decode"]>;

/** A specification that is hardly one. */
export const taskSpec = { ociVersion: "1.0.2", process: { args: ["true"] } };

/** The exit time of processes of the fake platform. */
export const exitedAt = { seconds: Date.parse("2026-01-02T03:04:05Z") / 1000, nanos: 678_000_000 };

/** The services on a fake platform, behind a real socket, with containerd's event service behind another. */
export class Harness {
  readonly directory = mkdtempSync(path.join(tmpdir(), "shim-services-"));
  readonly events = new EventServer();
  readonly platform = new FakePlatform();
  readonly ended: string[] = [];
  handOvers = 0;
  isDispensable = true;
  /** Set before `open`. */
  clock: Clock = systemClock;
  records: Records | undefined;
  loadPlatform: () => Promise<FakePlatform> = async () => this.platform;
  client!: TtrpcClient;
  #services!: Services;
  #server!: net.Server;
  readonly #clients: TtrpcClient[] = [];

  async open(shimId = "c1"): Promise<void> {
    const eventSocket = path.join(this.directory, "events");
    await this.events.listen(eventSocket);
    this.#services = createServices({
      name: "containerd-shim-fake-v2",
      shimId,
      namespace: "ns",
      bundle: this.bundle("shim", undefined),
      pid: 77,
      version: "1.2.3",
      runtimeOptions: { typeUrl: "options", value: Uint8Array.of(1) },
      ttrpcAddress: `unix://${eventSocket}`,
      platform: () => this.loadPlatform(),
      ...(this.records && { records: this.records }),
      log: { log: () => {} },
      clock: this.clock,
      newActivityId: randomUUID,
      lingerMilliseconds: 10_000,
      isDispensable: async () => this.isDispensable,
      end: (reason) => void this.ended.push(reason),
      handOver: () => {
        this.handOvers += 1;
      },
    });
    this.#server = net.createServer((socket) => {
      socket.on("error", () => {});
      this.#services.serve(socket);
    });
    await new Promise<void>((resolve) => this.#server.listen(path.join(this.directory, "shim.sock"), resolve));
    this.client = this.connect();
  }

  connect(): TtrpcClient {
    const client = new TtrpcClient(net.connect(path.join(this.directory, "shim.sock")));
    this.#clients.push(client);
    return client;
  }

  /** Makes a bundle with this config.json; a string is written unchanged. */
  bundle(name: string, configuration: object | string | undefined): string {
    const bundle = path.join(this.directory, name);
    mkdirSync(bundle, { recursive: true });
    if (configuration !== undefined) {
      const text = typeof configuration === "string" ? configuration : JSON.stringify(configuration);
      writeFileSync(path.join(bundle, "config.json"), text);
    }
    return bundle;
  }

  get sandbox(): FakeSandbox {
    const sandbox = this.platform.sandboxes.at(-1);
    if (sandbox === undefined) throw new Error("no sandbox was created");
    return sandbox;
  }

  container(id: string): FakeContainer {
    const container = this.sandbox.container(id);
    if (container === undefined) throw new Error(`container ${id} does not exist`);
    return container;
  }

  task<M extends TaskMethod>(method: M, request: TaskInput<M>, options: CallOptions = {}): Promise<TaskOutput<M>> {
    return this.client.call(Task, method, request as never, options) as Promise<TaskOutput<M>>;
  }

  createTask(id: string, more: TaskInput<"Create"> = {}, configuration: object | string | undefined = taskSpec) {
    return this.task("Create", { id, bundle: this.bundle(id, configuration), ...more });
  }

  async runTask(id: string): Promise<void> {
    await this.createTask(id);
    await this.task("Start", { id });
  }

  /** Runs a container that joins this sandbox. */
  async runMember(id: string, sandboxId = "s1"): Promise<void> {
    await this.createTask(id, {}, { ...taskSpec, annotations: { "io.uvm-shim.sandbox-id": sandboxId } });
    await this.task("Start", { id });
  }

  /** Runs a sandbox of the Sandbox API. */
  async runSandbox(sandboxId = "s1", more: { readonly options?: object } = {}): Promise<void> {
    const bundlePath = this.bundle(sandboxId, undefined);
    await this.client.call(Sandbox, "CreateSandbox", { sandboxId, bundlePath, ...more });
    await this.client.call(Sandbox, "StartSandbox", { sandboxId });
  }

  /** The topics of the events, once there are `count`. */
  async topics(count: number): Promise<string[]> {
    await expect.poll(() => this.events.topics.length).toBe(count);
    return this.events.topics;
  }

  stopAll(patienceMilliseconds: number): Promise<void> {
    return this.#services.stopAll(patienceMilliseconds);
  }

  async close(): Promise<void> {
    for (const client of this.#clients) client.close();
    await this.#services.close(1000);
    await new Promise<void>((resolve) => this.#server.close(() => resolve()));
    await this.events.close();
    rmSync(this.directory, { recursive: true, force: true });
  }
}

/** A harness with a manual clock. */
export class ClockedHarness extends Harness {
  override readonly clock: ManualClock;

  constructor(clock = new ManualClock()) {
    super();
    this.clock = clock;
  }

  /** Advances the clock once a delay is pending. */
  async pass(milliseconds: number): Promise<void> {
    await expect.poll(() => this.clock.sleepers).toBeGreaterThan(0);
    await this.clock.advance(milliseconds);
  }

  override async close(): Promise<void> {
    const closing = super.close();
    await this.clock.advance(60_000);
    await closing;
  }
}
