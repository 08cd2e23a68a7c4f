import { connect, type Socket } from "node:net";
import { join } from "node:path";
import { hresults } from "@uvm-shim/hcs-schema";
import { emulatedHostMaximumLineBytes } from "@uvm-shim/host-protocol";
import { createNetworkNamespace, type NetworkNamespace } from "@uvm-shim/linux-calls";
import { describeWith } from "@uvm-shim/test-support/machine-needs";
import fc from "fast-check";
import { afterAll, afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { EmulatedHost } from "../emulated-host.ts";
import { FakeKind, TestFiles } from "../testing/fake-guest.ts";
import { HostServer } from "./server.ts";

const files = new TestFiles();
const socketPath = join(files.directory, "host.sock");
let kind: FakeKind;
let host: EmulatedHost;
let server: HostServer;
const clients: Client[] = [];

afterAll(() => files.remove());
beforeEach(async () => {
  kind = new FakeKind();
  host = new EmulatedHost({ stateDirectory: files.directory, kinds: [kind], report: () => {} });
  server = new HostServer({ host, socketPath, idleMs: 60_000 });
  await server.listen();
});
afterEach(async () => {
  for (const client of clients.splice(0)) client.socket.destroy();
  server.close();
  await host.close();
});

/** A client that sends and receives plain lines. */
class Client {
  readonly socket: Socket;
  readonly #lines: unknown[] = [];
  readonly closed: Promise<void>;
  #wake: () => void = () => {};

  constructor() {
    clients.push(this);
    this.socket = connect(socketPath);
    let rest = "";
    this.socket.on("data", (chunk: Buffer) => {
      const parts = (rest + chunk.toString()).split("\n");
      rest = parts.pop() ?? "";
      for (const part of parts) this.#lines.push(JSON.parse(part));
      this.#wake();
    });
    this.socket.on("error", () => {});
    this.closed = new Promise((resolve) => this.socket.on("close", () => resolve()));
  }

  send(id: number, call: string, parameters: unknown): void {
    this.socket.write(`${JSON.stringify({ id, call, arguments: parameters })}\n`);
  }

  async next(): Promise<unknown> {
    while (this.#lines.length === 0) {
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
    return this.#lines.shift();
  }

  async call(id: number, call: string, parameters: unknown): Promise<unknown> {
    this.send(id, call, parameters);
    return this.next();
  }
}

describe("the protocol", () => {
  it("creates, starts, queries and ends a system, and reports its exit", async () => {
    const client = new Client();
    expect(await client.call(1, "hello", { version: 1 })).toEqual({ kind: "result", id: 1, result: { version: 1 } });
    const created = await client.call(2, "create", { system: "one", document: files.document() });
    expect(created).toMatchObject({
      kind: "result",
      id: 2,
      result: { handle: 1, vsockBase: expect.stringMatching(/hv\.vsock$/) },
    });
    expect(await client.call(3, "start", { handle: 1 })).toEqual({ kind: "result", id: 3, result: {} });
    expect(await client.call(4, "properties", { handle: 1, types: [] })).toMatchObject({
      result: { Id: "one", State: "Running" },
    });
    client.send(5, "terminate", { handle: 1 });
    const last = [await client.next(), await client.next()];
    expect(last).toContainEqual({ kind: "exited", handle: 1, status: { Status: 0, ExitType: "ForcedExit" } });
    expect(last).toContainEqual({ kind: "result", id: 5, result: {} });
  });

  it("answers failures with their HRESULT", async () => {
    const client = new Client();
    expect(await client.call(1, "open", { system: "nobody" })).toEqual({
      kind: "error",
      id: 1,
      error: { hresult: hresults.HCS_E_SYSTEM_NOT_FOUND, message: "compute system nobody does not exist" },
    });
    expect(await client.call(2, "start", { handle: 7 })).toMatchObject({ error: { hresult: hresults.E_INVALIDARG } });
    expect(await client.call(3, "create", { system: "x", document: { Owner: 1 } })).toMatchObject({
      error: {
        hresult: hresults.HCS_E_INVALID_JSON,
        message: expect.stringMatching(/^Owner: expected a string, got 1/),
      },
    });
  });

  it.each([
    [
      "an unknown call",
      { id: 1, call: "explode", arguments: {} },
      /^call: unknown call: expected one of hello, create/,
    ],
    ["missing arguments", { id: 1, call: "open" }, /^arguments: expected an object, got nothing/],
    ["arguments of a wrong type", { id: 1, call: "start", arguments: { handle: "1" } }, /^arguments\.handle: expected/],
    ["an unknown field", { id: 1, call: "hello", arguments: { version: 1 }, more: 1 }, /^more: unknown field/],
  ])("answers %s", async (_what, request, message) => {
    const client = new Client();
    client.socket.write(`${JSON.stringify(request)}\n`);
    expect(await client.next()).toMatchObject({
      id: 1,
      error: { hresult: hresults.HCS_E_INVALID_JSON, message: expect.stringMatching(message) },
    });
    expect(await client.call(2, "hello", { version: 1 })).toMatchObject({ id: 2, kind: "result" });
  });

  it.each([
    ["what is not JSON", "hello\n"],
    ["a request without an id", '{"call":"hello"}\n'],
    ["a line without end", "x".repeat(emulatedHostMaximumLineBytes + 1)],
  ])("closes the connection on %s, and serves others", async (_what, bytes) => {
    const client = new Client();
    client.socket.write(bytes);
    await client.closed;
    expect(await new Client().call(1, "hello", { version: 1 })).toMatchObject({ kind: "result" });
  });

  it("survives any bytes from a client", async () => {
    await fc.assert(
      fc.asyncProperty(fc.uint8Array({ maxLength: 200 }), async (bytes) => {
        const client = new Client();
        client.socket.write(bytes);
        client.socket.end("\n");
        await client.closed;
      }),
      { numRuns: 50 },
    );
    expect(await new Client().call(1, "hello", { version: 1 })).toMatchObject({ kind: "result" });
  });

  it("reports the exit of a stopped system after the answer that opens it", async () => {
    const [first, second] = [new Client(), new Client()];
    await first.call(1, "create", { system: "one", document: files.document() });
    await first.call(2, "terminate", { handle: 1 });
    expect(await second.call(1, "open", { system: "one" })).toMatchObject({ kind: "result", result: { handle: 1 } });
    expect(await second.next()).toMatchObject({ kind: "exited", handle: 1 });
  });
});

describe("connections", () => {
  it("close their handles when they end", async () => {
    const client = new Client();
    await client.call(1, "create", { system: "one", document: files.document({ endsWithLastHandle: true }) });
    await client.call(2, "start", { handle: 1 });
    const system = host.find("one");
    client.socket.destroy();
    expect(await system.exited).toMatchObject({ ExitType: "ForcedExit" });
  });

  it("leave systems running that may outlive them", async () => {
    const first = new Client();
    await first.call(1, "create", { system: "one", document: files.document() });
    first.socket.destroy();
    await first.closed;
    const second = new Client();
    expect(await second.call(1, "enumerate", { owner: "test" })).toMatchObject({
      result: { systems: [{ Id: "one" }] },
    });
    await second.call(2, "open", { system: "one" });
    await second.call(3, "terminate", { handle: 1 });
  });
});

describe("idleness", () => {
  const idleMs = 5_000;
  let patient: HostServer;

  beforeEach(async () => {
    vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout"] });
    server.close();
    patient = new HostServer({ host, socketPath, idleMs });
    await patient.listen();
  });
  afterEach(() => {
    patient.close();
    vi.useRealTimers();
  });

  it("ends the server, which then no longer listens", async () => {
    await vi.advanceTimersByTimeAsync(idleMs);
    await patient.idle;
    const client = new Client();
    await client.closed;
    expect(client.socket.bytesRead).toBe(0);
  });

  it("leaves no timer when the server is closed with its clients", async () => {
    const client = new Client();
    await client.call(1, "hello", { version: 1 });
    patient.close();
    await client.closed;
    expect(vi.getTimerCount()).toBe(0);
  });

  it("waits for the last client and the last system", async () => {
    let idle = false;
    void patient.idle.then(() => {
      idle = true;
    });
    const client = new Client();
    await client.call(1, "create", { system: "one", document: files.document() });
    await vi.advanceTimersByTimeAsync(3 * idleMs);
    expect(idle).toBe(false);
    const system = host.find("one");
    const second = new Client();
    client.socket.destroy();
    await client.closed;
    await second.call(1, "hello", { version: 1 });
    second.socket.destroy();
    await second.closed;
    await vi.advanceTimersByTimeAsync(3 * idleMs);
    expect(idle).toBe(false);
    system.end();
    await vi.advanceTimersByTimeAsync(2 * idleMs);
    expect(idle).toBe(true);
  });
});

describeWith("root", "ip")("a network namespace for a client's system", () => {
  let namespace: NetworkNamespace;
  beforeEach(() => {
    namespace = createNetworkNamespace();
  });
  afterEach(() => namespace.close());

  it("is an HCN object, and is removed with a client that creates no system", async () => {
    const client = new Client();
    const answer = await client.call(1, "joinNetworkNamespace", { system: "one", path: namespace.path });
    const object = (answer as { readonly result: { readonly namespace: string } }).result.namespace;
    const asked = await client.call(2, "queryNetworkObject", { kind: "namespace", object });
    expect(asked).toMatchObject({ result: { properties: { ID: object, Resources: [] } } });
    client.socket.end();
    await vi.waitFor(() => expect(host.isEmpty).toBe(true));
  });

  it("stays with a system that outlives its client, and is removed when it ends", async () => {
    const client = new Client();
    await client.call(1, "joinNetworkNamespace", { system: "one", path: namespace.path });
    await client.call(2, "create", { system: "one", document: files.document({ endsWithLastHandle: false }) });
    client.socket.end();
    await client.closed;
    const other = new Client();
    await other.call(1, "open", { system: "one" });
    expect(host.networks.isEmpty).toBe(false);
    await host.find("one").terminate();
    expect(host.networks.isEmpty).toBe(true);
  });

  it("is refused with the field and its fault", async () => {
    const answer = await new Client().call(1, "joinNetworkNamespace", { system: "one", path: "/nowhere" });
    const message = "path: /nowhere does not exist";
    expect(answer).toMatchObject({ error: { hresult: hresults.ERROR_FILE_NOT_FOUND, message } });
  });
});

describe("a cgroup for a client's system", () => {
  const path = "/uvm-shim-no-such-parent/c1";
  const answerOf = async (client: Client, more: object): Promise<unknown> =>
    client.call(9, "joinControlGroup", { system: "one", path, pid: process.pid, ...more });

  it("is refused with the field and its fault", async () => {
    const client = new Client();
    expect(await answerOf(client, {})).toMatchObject({ error: { hresult: hresults.HCS_E_SYSTEM_NOT_FOUND } });
    await client.call(1, "create", { system: "one", document: files.document() });
    const message = 'path: cgroup "/a/.." leads upwards: expected a path without ".."';
    expect(await answerOf(client, { path: "/a/.." })).toMatchObject({
      error: { hresult: hresults.E_INVALIDARG, message },
    });
    expect(await answerOf(client, { pid: 0 })).toMatchObject({
      error: { hresult: hresults.HCS_E_INVALID_JSON, message: expect.stringContaining("pid") },
    });
    kind.prepare = (machine) => {
      machine.hangs = true;
    };
    client.send(2, "start", { handle: 1 });
    // Between the states in which it could be placed: its machine is being made.
    expect(await answerOf(client, {})).toMatchObject({ error: { hresult: hresults.HCS_E_INVALID_STATE } });
  });

  it("is entered by a system that runs, too", async () => {
    const client = new Client();
    await client.call(1, "create", { system: "one", document: files.document() });
    await client.call(2, "start", { handle: 1 });
    expect(await answerOf(client, {})).toMatchObject({ result: {} });
    expect(kind.machines.at(-1)?.calls).toContain(`enter ${path}`);
    await client.call(3, "terminate", { handle: 1 });
  });
});
