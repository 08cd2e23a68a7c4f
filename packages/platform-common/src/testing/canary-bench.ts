import { randomUUID } from "node:crypto";
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createServer, connect as dial } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { inspect } from "node:util";
import { FakeUpstream } from "@uvm-shim/controller-process/testing";
import { type ComputeHost, connectEmulatedHost } from "@uvm-shim/hcs-bindings";
import { hostVariables } from "@uvm-shim/host-protocol";
import { systemClock } from "@uvm-shim/lifecycle";
import { ScriptedCalls } from "@uvm-shim/lifecycle/testing";
import type { LogLevel, Platform, PlatformContext } from "@uvm-shim/shim";
import { runtimeoptions } from "@uvm-shim/shim/protocol";
import { expect, vi } from "vitest";
import { createServices } from "../../../shim/src/services/services.ts";
import { formatLine } from "../../../shim/src/system/log.ts";
import { EventServer } from "../../../shim/src/testing/event-server.ts";
import { TtrpcClient } from "../../../ttrpc/src/index.ts";

/** The beginning of `secret`, short enough to survive a text that is cut. */
export const canary = "canary-7f3a";
/** As long as keys and tokens; tests look for its beginning, since texts may be cut. */
export const secret = `${canary}-${"0123456789abcdef".repeat(4)}`;

/** Runtime options as containerd passes them on: a type and its encoded message. */
export interface EncodedOptions {
  readonly typeUrl: string;
  readonly value: Uint8Array;
}

/** Runtime options in the form of containerd's configuration file. */
export function configuredOptions(configBody: string): EncodedOptions {
  const { Options } = runtimeoptions.v1;
  return {
    typeUrl: "runtimeoptions.v1.Options",
    value: Options.encode(new Options({ configBody: Buffer.from(configBody) })).finish(),
  };
}

/**
 * A shim's services on its real platform and an emulated host, at the lowest log level. Collects what leaves the shim: log
 * lines, errors, events and files.
 */
export class CanaryBench {
  readonly folder = mkdtempSync(join(tmpdir(), "canary-"));
  readonly texts: string[] = [];
  readonly #createPlatform: (context: PlatformContext) => Platform;
  readonly #events = new EventServer();
  #host: ComputeHost | undefined;
  #bundles = 0;

  private constructor(createPlatform: (context: PlatformContext) => Platform) {
    this.#createPlatform = createPlatform;
  }

  static async open(createPlatform: (context: PlatformContext) => Platform): Promise<CanaryBench> {
    const bench = new CanaryBench(createPlatform);
    const start = {
      command: process.execPath,
      args: [fileURLToPath(new URL("../../../host-emulator/src/main.ts", import.meta.url))],
      env: { [hostVariables.idleMs]: "100" },
    };
    bench.#host = await connectEmulatedHost({ socketPath: bench.#socketPath, start });
    await bench.#events.listen(join(bench.folder, "events"));
    return bench;
  }

  async close(): Promise<void> {
    await this.#events.close();
    await this.#host?.close();
    await vi.waitFor(() => expect(existsSync(this.#socketPath)).toBe(false), { timeout: 10_000 });
    rmSync(this.folder, { recursive: true });
  }

  get #socketPath(): string {
    return join(this.folder, "host.sock");
  }

  async withShim(
    runtimeOptions: EncodedOptions,
    work: (call: TtrpcClient["call"]) => Promise<unknown>,
    id = "c1",
  ): Promise<void> {
    const log = {
      log: (level: LogLevel, message: string, fields = {}) =>
        void this.texts.push(formatLine(new Date(0), level, message, fields).toString(), inspect(fields, { depth: 9 })),
    };
    const platform = this.#createPlatform({
      ...{ log, guestLog: log, requestLog: log, upstreamStdio: new FakeUpstream(new ScriptedCalls()) },
      ...{ env: { UVM_SHIM_HOST: `unix:${this.#socketPath}` }, executableDirectory: this.folder, namespace: "canary" },
      servesOnePod: true,
    });
    const services = createServices({
      ...{
        name: "containerd-shim-canary-v2",
        shimId: id,
        namespace: "canary",
        bundle: this.folder,
        pid: process.pid,
        version: "1",
        runtimeOptions,
      },
      ...{ ttrpcAddress: `unix://${join(this.folder, "events")}`, platform: async () => platform, log },
      ...{ clock: systemClock, lingerMilliseconds: 10_000, isDispensable: async () => true },
      ...{ newActivityId: randomUUID, end: () => {}, handOver: () => {} },
    });
    const server = createServer((socket) => services.serve(socket));
    const socket = join(this.folder, "shim.sock");
    await new Promise<void>((resolve) => server.listen(socket, resolve));
    const client = new TtrpcClient(dial(socket));
    try {
      await work(client.call.bind(client) as TtrpcClient["call"]);
    } finally {
      client.close();
      await services.stopAll(1_000);
      await services.close(1_000);
      await new Promise((resolve) => server.close(resolve));
      await platform.close();
    }
  }

  /** A bundle whose config.json has this text, or this value as JSON. */
  bundle(configuration: object | string): string {
    const directory = join(this.folder, `bundle-${this.#bundles++}`);
    mkdirSync(directory);
    const text = typeof configuration === "string" ? configuration : JSON.stringify(configuration);
    writeFileSync(join(directory, "config.json"), text);
    return directory;
  }

  /** Keeps the text of the error with which the call must fail. */
  async refused(call: Promise<unknown>): Promise<string> {
    const error = await call.then(
      () => undefined,
      (caught: unknown) => caught,
    );
    expect(error).toBeInstanceOf(Error);
    const { message } = error as Error;
    this.texts.push(message);
    return message;
  }

  /** `ofContainers` are the folders that containers themselves write. */
  expectNoCanary(...ofContainers: readonly string[]): void {
    const files = readdirSync(this.folder, { recursive: true, withFileTypes: true })
      .filter((entry) => entry.isFile() && entry.name !== "config.json")
      .map(({ parentPath, name }) => join(parentPath, name))
      .filter((file) => !ofContainers.some((folder) => file.startsWith(folder)));
    for (const file of files) expect(readFileSync(file).includes(canary), file).toBe(false);
    expect(this.texts.filter((text) => text.includes(canary))).toEqual([]);
    expect(JSON.stringify(this.#events.received).includes(canary)).toBe(false);
  }
}
