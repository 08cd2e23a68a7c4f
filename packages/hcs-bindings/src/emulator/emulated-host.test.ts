import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createServer, type Server, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { hresults } from "@uvm-shim/hcs-schema";
import type { EmulatedHostRequest } from "@uvm-shim/host-protocol";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import type { ComputeHost } from "../types.ts";
import { connectEmulatedHost } from "./emulated-host.ts";

const runtimeId = "01234567-89ab-cdef-0123-456789abcdef";
const opened = { handle: 1, runtimeId, vsockBase: "/nowhere/hv.vsock" };
const document = {
  Owner: "test",
  SchemaVersion: { Major: 2, Minor: 1 },
  VirtualMachine: { Chipset: {}, ComputeTopology: { Memory: { SizeInMB: 1 }, Processor: { Count: 1 } } },
};

let directory: string;
let socketPath: string;
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), "driver-"));
  socketPath = join(directory, "host.sock");
});
afterEach(() => rmSync(directory, { recursive: true }));

type Answer = (request: EmulatedHostRequest, host: ScriptedHost) => unknown;

/** A host with scripted answers. It answers `hello` itself unless the script does. */
class ScriptedHost {
  readonly requests: EmulatedHostRequest[] = [];
  readonly #server: Server;
  #socket: Socket | undefined;
  #heard: () => void = () => {};

  constructor(answer: Answer) {
    this.#server = createServer((socket) => {
      this.#socket = socket;
      let rest = "";
      socket.on("error", () => {});
      socket.on("data", (chunk) => {
        const lines = (rest + chunk.toString()).split("\n");
        rest = lines.pop() ?? "";
        for (const line of lines) {
          const request = JSON.parse(line) as EmulatedHostRequest;
          this.requests.push(request);
          const result = answer(request, this) ?? (request.call === "hello" ? { version: 1 } : undefined);
          if (result !== undefined) this.say({ kind: "result", id: request.id, result });
          this.#heard();
        }
      });
    });
  }

  async listen(): Promise<this> {
    await new Promise<void>((resolve) => this.#server.listen(socketPath, resolve));
    return this;
  }

  say(message: unknown): void {
    this.#socket?.write(typeof message === "string" ? message : `${JSON.stringify(message)}\n`);
  }

  async called(call: string): Promise<EmulatedHostRequest> {
    for (;;) {
      const found = this.requests.find((request) => request.call === call);
      if (found !== undefined) return found;
      await new Promise<void>((resolve) => {
        this.#heard = resolve;
      });
    }
  }

  drop(): void {
    this.#socket?.destroy();
  }

  close(): void {
    this.drop();
    this.#server.close();
  }
}

describe("a connection", () => {
  let scripted: ScriptedHost;
  let host: ComputeHost | undefined;
  afterEach(async () => {
    await host?.close();
    host = undefined;
    scripted.close();
  });

  async function connected(answer: Answer): Promise<ComputeHost> {
    scripted = await new ScriptedHost(answer).listen();
    host = await connectEmulatedHost({ socketPath });
    return host;
  }

  it("closes the listeners of its systems when it is closed: they would keep the program running", async () => {
    const vsockBase = join(directory, "hv.vsock");
    const host = await connected(({ call }) => (call === "create" ? { ...opened, vsockBase } : undefined));
    const listener = await (await host.createComputeSystem("vm", document)).listen(7);
    const waiting = listener.accept();
    await Promise.all([expect(waiting).rejects.toMatchObject({ code: "Cancelled", gone: true }), host.close()]);
    expect(existsSync(`${vsockBase}_7`)).toBe(false);
  });

  it("passes answers and errors to their callers, in any order", async () => {
    const client = await connected((request, on) => {
      if (request.call !== "open") return undefined;
      if (request.arguments.system === "first") return undefined;
      on.say({ kind: "error", id: request.id, error: { hresult: hresults.HCS_E_SYSTEM_NOT_FOUND, message: "no" } });
      on.say({ kind: "result", id: request.id - 1, result: opened });
      return undefined;
    });
    const first = client.openComputeSystem("first");
    const second = client.openComputeSystem("second");
    await expect(second).rejects.toMatchObject({ code: "NotFound", gone: true, id: "second" });
    expect(await first).toMatchObject({ id: "first", runtimeId });
  });

  it("accepts any answer as a sign of life, unless the host is lost", async () => {
    const client = await connected(() => undefined);
    await client.ping?.();
    expect(scripted.requests.map(({ call }) => call)).toEqual(["hello", "hello"]);
    await expect(client.ping?.(AbortSignal.abort(new Error("aborted")))).rejects.toMatchObject({ code: "Cancelled" });
    scripted.drop();
    await expect.poll(() => client.ping?.().catch(({ code }) => code)).toBe("Unavailable");
  });

  it("receives an exit that comes with the answer that opens the system", async () => {
    const client = await connected((request, on) => {
      if (request.call !== "open") return undefined;
      const exited = { kind: "exited", handle: 1, status: { Status: 0, ExitType: "GracefulExit" } };
      on.say(`${JSON.stringify({ kind: "result", id: request.id, result: opened })}\n${JSON.stringify(exited)}\n`);
      return undefined;
    });
    const system = await client.openComputeSystem("vm");
    expect(await system.exited).toEqual({ Status: 0, ExitType: "GracefulExit" });
  });

  it("receives a crash before the exit", async () => {
    const client = await connected(({ call }) => (call === "create" ? opened : undefined));
    const system = await client.createComputeSystem("vm", document);
    expect(system.crashReport).toBeUndefined();
    scripted.say({ kind: "crashed", handle: 1, report: { CrashLog: "kernel panic", Colour: "blue" } });
    scripted.say({ kind: "exited", handle: 1, status: { Status: 1, ExitType: "UnexpectedExit" } });
    await system.exited;
    expect(system.crashReport).toMatchObject({ CrashLog: "kernel panic" });
  });

  it("queries properties by type, and checks the figures", async () => {
    const always = { Id: "vm", SystemType: "VirtualMachine", Owner: "o", RuntimeId: runtimeId };
    let processor: unknown = { TotalRuntime100ns: 7 };
    const client = await connected(({ call }) => {
      if (call === "create") return opened;
      if (call === "workingSet") return { bytes: 4096 };
      if (call !== "properties") return undefined;
      return { ...always, RuntimeOsType: "Linux", State: "Running", Statistics: { Processor: processor } };
    });
    const system = await client.createComputeSystem("vm", document);
    expect((await system.properties(["Statistics"])).Statistics).toEqual({ Processor: { TotalRuntime100ns: 7 } });
    expect(scripted.requests.at(-1)).toMatchObject({ call: "properties", arguments: { types: ["Statistics"] } });
    expect(await system.workingSet()).toBe(4096);
    processor = { TotalRuntime100ns: "7" };
    await expect(system.properties(["Statistics"])).rejects.toMatchObject({
      code: "Unavailable",
      message: expect.stringContaining("the host sent an invalid message"),
    });
  });

  it("fails all pending calls once when it is lost", async () => {
    const client = await connected(({ call }) => (call === "create" ? opened : undefined));
    const system = await client.createComputeSystem("vm", document);
    const outcomes = Promise.allSettled([system.start(), system.properties([]), system.exited]);
    await scripted.called("properties");
    scripted.drop();
    for (const outcome of await outcomes) {
      expect(outcome).toMatchObject({ status: "rejected", reason: { code: "Unavailable", id: "vm" } });
    }
    await expect(system.terminate()).rejects.toMatchObject({ code: "Unavailable" });
    await system.close();
  });

  it.each([
    ["no JSON", "hello\n"],
    ["a message without a kind", "{}\n"],
    ["an answer to no request", '{"kind":"result","id":99,"result":{}}\n'],
    ["an exit with an unknown type", '{"kind":"exited","handle":1,"status":{"Status":0,"ExitType":"Bored"}}\n'],
  ])("ends on %s", async (_what, bytes) => {
    const client = await connected((request, on) => {
      if (request.call === "enumerate") on.say(bytes);
      return undefined;
    });
    await expect(client.enumerateComputeSystems()).rejects.toMatchObject({
      code: "Unavailable",
      message: expect.stringMatching(/the host sent an invalid message/),
    });
  });

  it("ends on a result that does not fit its call", async () => {
    const client = await connected(({ call }) => (call === "enumerate" ? { systems: [{ Id: 7 }] } : undefined));
    await expect(client.enumerateComputeSystems()).rejects.toMatchObject({
      code: "Unavailable",
      cause: { cause: { message: "result.systems[0].Id: expected a string, got 7" } },
    });
  });

  it("terminates a system that is created after the caller aborted", async () => {
    const client = await connected(({ call }) => (call === "terminate" || call === "close" ? {} : undefined));
    const controller = new AbortController();
    const creation = client.createComputeSystem("vm", document, controller.signal);
    const request = await scripted.called("create");
    controller.abort();
    await expect(creation).rejects.toMatchObject({ code: "Cancelled", operation: "create compute system" });
    scripted.say({ kind: "result", id: request.id, result: opened });
    await scripted.called("close");
    expect(scripted.requests.map(({ call }) => call)).toEqual(["hello", "create", "terminate", "close"]);
  });

  it("treats ending an ended system as a success", async () => {
    const client = await connected((request, on) => {
      if (request.call === "create") return opened;
      const hresult =
        request.call === "terminate" ? hresults.HCS_E_SYSTEM_ALREADY_STOPPED : hresults.HCS_E_OPERATION_PENDING;
      if (request.call !== "hello") on.say({ kind: "error", id: request.id, error: { hresult, message: "ended" } });
      return undefined;
    });
    const system = await client.createComputeSystem("vm", document);
    await system.terminate();
    await system.shutdown();
    await expect(system.start()).rejects.toMatchObject({ hresultName: "HCS_E_OPERATION_PENDING" });
  });

  it("is refused by a host of another version", async () => {
    scripted = await new ScriptedHost(() => ({ version: 2 })).listen();
    await expect(connectEmulatedHost({ socketPath })).rejects.toMatchObject({
      code: "FailedPrecondition",
      message: expect.stringMatching(/protocol version 2 is not supported: expected 1/),
    });
  });
});

describe("a host that does not listen", () => {
  const server = `
    const net = require("node:net");
    net.createServer((socket) => socket.on("data", () => socket.write('{"kind":"result","id":1,"result":{"version":1}}\\n')).on("close", () => process.exit(0)))
      .listen(process.argv[process.argv.indexOf("--socket") + 1]);`;

  function program(code: string): { command: string; args: string[]; env: Record<string, string> } {
    const path = join(directory, "program.cjs");
    writeFileSync(path, code);
    return { command: process.execPath, args: [path], env: { GREETING: "hello" } };
  }

  it("is Unavailable, or NotFound for a client that only cleans up", async () => {
    await expect(connectEmulatedHost({ socketPath })).rejects.toMatchObject({ code: "Unavailable", gone: false });
    await expect(
      connectEmulatedHost({ socketPath, start: program(server), startOnDemand: false }),
    ).rejects.toMatchObject({ code: "NotFound", gone: true });
    expect(existsSync(join(directory, "emulator.log"))).toBe(false);
  });

  it("is started on demand", async () => {
    const host = await connectEmulatedHost({
      socketPath,
      start: program(`${server} console.error(process.env.GREETING)`),
    });
    expect(readFileSync(join(directory, "emulator.log"), "utf8")).toBe("hello\n");
    await host.close();
  });

  it("is started again if the first one ended because it lost a race", async () => {
    const once = `const fs = require("node:fs"); const mark = ${JSON.stringify(join(directory, "mark"))};
      if (!fs.existsSync(mark)) { fs.writeFileSync(mark, ""); process.exit(0); } ${server}`;
    const host = await connectEmulatedHost({ socketPath, start: program(once) });
    await host.close();
  });

  it("is reported with the end of its log if it fails", async () => {
    await expect(
      connectEmulatedHost({ socketPath, start: program('console.error("I cannot"); process.exit(3);') }),
    ).rejects.toMatchObject({ code: "Unavailable", message: expect.stringMatching(/exit code 3; .*: I cannot$/) });
  });

  it("is reported if it cannot be started at all", async () => {
    await expect(
      connectEmulatedHost({ socketPath, start: { command: join(directory, "missing") } }),
    ).rejects.toMatchObject({
      code: "Unavailable",
      message: expect.stringMatching(/cannot start .*missing: .*ENOENT/),
    });
  });

  it("is waited for until a timeout", async () => {
    const start = program("setTimeout(() => {}, 2000)");
    await expect(connectEmulatedHost({ socketPath, start, timeoutMs: 60 })).rejects.toMatchObject({
      code: "DeadlineExceeded",
      message: expect.stringMatching(/does not listen/),
    });
    await expect(connectEmulatedHost({ socketPath, start, signal: AbortSignal.timeout(60) })).rejects.toMatchObject({
      code: "DeadlineExceeded",
      operation: "connect to host",
    });
  });
});
