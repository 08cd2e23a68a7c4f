import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync } from "node:fs";
import net from "node:net";
import { tmpdir } from "node:os";
import path from "node:path";
import { systemClock } from "@uvm-shim/lifecycle";
import { TtrpcClient } from "@uvm-shim/ttrpc";
import { containerd } from "../generated/messages.js";
import type { ShimOptions } from "../program/shim-options.ts";
import { parseRecord, type RecordLine } from "../record/lines.ts";
import type { ControllerMethod } from "../sandboxer/controller-service.ts";
import type { PodBounds } from "../sandboxer/pod-bounds.ts";
import type { PodMakings } from "../sandboxer/pod-makings.ts";
import { Sandboxer } from "../sandboxer/sandboxer.ts";
import { SharedLog } from "../system/log-stderr.ts";
import { posixSystem } from "../system/posix.ts";
import type { ShimSystem } from "../system/system.ts";
import { EventServer } from "./event-server.ts";
import { FakePlatform, type FakeSandbox } from "./fake-platform.ts";

const { Controller } = containerd.services.sandbox.v1;
type Input<M extends ControllerMethod> = Parameters<(typeof Controller.methods)[M]["request"]["encode"]>[0];

/** One process that serves pods, on a fake platform; containerd's event service is behind a real socket. */
export class SandboxerBench {
  readonly directory = mkdtempSync(path.join(tmpdir(), "sandboxer-"));
  readonly events = new EventServer();
  readonly platforms: FakePlatform[] = [];
  readonly lines: string[] = [];
  /** Prepares the platform of the next pods. */
  onPlatform: (platform: FakePlatform) => void = () => {};
  /** What the next pods have of the system. */
  system: ShimSystem = posixSystem;
  /** What the clients of each pod may have; undefined for what is usual. */
  bounds: PodBounds | undefined;
  makings: PodMakings | undefined;
  sandboxer!: Sandboxer;
  readonly #clients: TtrpcClient[] = [];

  get state(): string {
    return path.join(this.directory, "state");
  }

  async open(): Promise<void> {
    await this.events.listen(path.join(this.directory, "containerd.ttrpc"));
    this.begin();
  }

  /** Another process with the same state folder. */
  begin(): void {
    const options: ShimOptions = {
      ...{ name: "containerd-shim-fake-v2", runtimeName: "io.containerd.fake.v2", flavour: "lcow" },
      ...{ version: "1.2.3", revision: "abc", socketDirectory: this.directory, executableDirectory: this.directory },
      loadPlatform: async () => {
        const platform = new FakePlatform();
        this.onPlatform(platform);
        this.platforms.push(platform);
        return platform;
      },
    };
    const nodeProcess = { env: { UVM_SHIM_RECORDS: path.join(this.directory, "records") } };
    const sink = { queuedBytes: 0, write: (line: Buffer) => void this.lines.push(`${line}`) };
    this.sandboxer = new Sandboxer({
      ...{ bounds: this.bounds, makings: this.makings },
      settings: { containerd: path.join(this.directory, "containerd"), state: this.state, level: "info" },
      ...{ options, nodeProcess: nodeProcess as unknown as NodeJS.Process, clock: systemClock, system: this.system },
      identity: { pid: 77, processStartTime: "1" },
      control: path.join(this.directory, "control"),
      log: new SharedLog({ sink, clock: systemClock, level: "info" }),
      logOf: (fields, level) => new SharedLog({ sink, clock: systemClock, level, fields: { ...fields } }),
    });
  }

  /** As containerd, by messages that have been on the wire. */
  call<M extends ControllerMethod>(method: M, request: Input<M>, namespace = "k8s.io") {
    const { request: type } = Controller.methods[method];
    const signal = new AbortController().signal;
    const handler = this.sandboxer.controller[method];
    return handler(type.decode(type.encode(request as never).finish()) as never, { namespace, metadata: {}, signal });
  }

  async run(sandboxId: string, namespace?: string) {
    await this.call("Create", { sandboxId }, namespace);
    return await this.call("Start", { sandboxId }, namespace);
  }

  /** A client of the pod's own socket. */
  connect(address: string): TtrpcClient {
    const client = new TtrpcClient(net.connect(address.replace("ttrpc+unix://", "")));
    this.#clients.push(client);
    return client;
  }

  sandbox(id: string): FakeSandbox {
    const found = this.platforms.flatMap(({ sandboxes }) => sandboxes).findLast((sandbox) => sandbox.id === id);
    if (found === undefined) throw new Error(`no sandbox ${id} was created`);
    return found;
  }

  /** What is in the record of a pod. */
  record(id: string, namespace = "k8s.io"): readonly RecordLine[] {
    const file = path.join(this.directory, "records", namespace, `${id}.jsonl`);
    return parseRecord(readFileSync(file, "utf8")).lines;
  }

  /** What is left in its folders. */
  left(): readonly string[] {
    const sockets = readdirSync(this.directory).filter((name) => name.startsWith("uvm-"));
    const records = path.join(this.directory, "records");
    const files = [this.state, records].flatMap((folder) =>
      statSync(folder, { throwIfNoEntry: false })?.isDirectory()
        ? readdirSync(folder, { recursive: true, withFileTypes: true }).flatMap((entry) =>
            entry.isFile() || path.basename(entry.parentPath) === "k8s.io" ? [entry.name] : [],
          )
        : [],
    );
    return [...sockets, ...files];
  }

  async close(): Promise<void> {
    for (const client of this.#clients) client.close();
    await this.sandboxer.drain("test");
    this.sandboxer.control.destroy();
    await this.events.close();
    rmSync(this.directory, { recursive: true, force: true });
  }
}
