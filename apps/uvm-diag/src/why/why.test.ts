import { readFileSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { BeganLine, RecordLine } from "@uvm-shim/shim/record";
import { describe, expect, it } from "vitest";
import { causesTable } from "./causes-table.ts";
import { causes, gatherFacts, type WhyInput, why } from "./index.ts";

const start = Date.parse("2026-11-29T12:00:00.000Z");

/** Writes lines of a record, a second apart. */
class Writer {
  readonly lines: RecordLine[] = [];

  header(by: "serve" | "start" | "delete" = "serve"): void {
    const text = { shim: "s", version: "1", flavour: "lcow", namespace: "ns", id: "p", bundle: "/b", socket: "/s" };
    const more = { events: "", host: "", installed: "/i", logLevel: "info", processStartTime: "1", pid: 7 };
    this.lines.push({ ...this.#next(), type: "header", schema: 1, by, ...text, ...more });
  }

  began(name: string, more: Partial<BeganLine> = {}): number {
    const line: BeganLine = { ...this.#next(), type: "began", kind: "request", name, ...more };
    this.lines.push(line);
    return line.seq;
  }

  ended(of: number, name: string, message?: string, code = "Internal"): void {
    const error = message === undefined ? {} : { error: { code, message } };
    this.lines.push({ ...this.#next(), type: "ended", of, name, ms: 1, ...error });
  }

  occurred(name: string, attributes: { readonly [name: string]: string | number | boolean } = {}): void {
    this.lines.push({ ...this.#next(), type: "occurred", name, attributes });
  }

  create(message?: string, container = "c1"): void {
    const request = this.began("Task/Create", { attributes: { container_id: container } });
    this.ended(request, "Task/Create", message);
  }

  #next(): { seq: number; time: string } {
    const seq = this.lines.length + 1;
    return { seq, time: new Date(start + seq * 1000).toISOString() };
  }
}

function ask(write: (writer: Writer) => void, more: Partial<WhyInput> = {}) {
  const writer = new Writer();
  writer.header();
  write(writer);
  const now = new Date(start + 600_000);
  const process = { alive: true, answers: true };
  return why({ pod: { namespace: "ns", id: "p" }, now, events: writer.lines, log: [], process, ...more });
}

const noProgram = 'process.args[0] "sh" not found';

describe("why", () => {
  it("finds nothing wrong with a pod that runs, or of which nothing is known", () => {
    expect(ask((writer) => writer.create())).toEqual([]);
    expect(ask(() => {}, { events: [], process: { alive: false, answers: false } })).toEqual([]);
  });

  it("names the nearest error, and what became of the request", () => {
    const [verdict] = ask((writer) => {
      const request = writer.began("Task/Create", { attributes: { container_id: "c1" } });
      const create = writer.began("create", { kind: "guest-request", parent: request });
      writer.ended(create, "create", noProgram, "InvalidArgument");
      writer.ended(request, "Task/Create", `create container c1: ${noProgram}`, "InvalidArgument");
    });
    expect(verdict).toMatchObject({
      cause: "program-not-found",
      sentence: 'Container c1 was not created: the program "sh" is not in its image.',
      evidence: [
        { at: "2026-11-29T12:00:04.000Z", text: expect.stringMatching(/^create failed with InvalidArgument: process/) },
        { text: expect.stringMatching(/^Task\/Create failed with InvalidArgument: create container c1/) },
      ],
      advice: expect.stringContaining("PATH"),
    });
  });

  it("does not speak of what a repetition made good", () => {
    const retried = (writer: Writer): void => {
      writer.create(noProgram);
      writer.create();
    };
    expect(ask(retried)).toEqual([]);
    expect(
      ask((writer) => {
        writer.create(noProgram, "c2");
        writer.create();
      }),
    ).toHaveLength(1);
  });

  it("names the later of two failures first, each cause once", () => {
    const verdicts = ask((writer) => {
      writer.create("ENOSPC: no space left on device, open '/b/x'", "c1");
      writer.create(noProgram, "c2");
      writer.create(noProgram, "c3");
    });
    expect(verdicts.map(({ cause, sentence }) => `${cause}: ${sentence.split(":")[0]}`)).toEqual([
      "program-not-found: Container c3 was not created",
      "host-disk-full: Container c1 was not created",
    ]);
  });

  it("says so when it has no name for the failure", () => {
    const [verdict, ...more] = ask((writer) => writer.create("the moon is full"));
    expect(more).toEqual([]);
    expect(verdict).toMatchObject({ cause: "unexplained", sentence: expect.stringContaining("the moon is full") });
  });

  it("takes no call for a hang that is young, or waits for the end of a process", () => {
    const young = (writer: Writer): void => void writer.began("Task/Create");
    const wait = (writer: Writer): void => void writer.began("Task/Wait");
    expect(ask(young, { now: new Date(start + 5_000) })).toEqual([]);
    expect(ask(wait)).toEqual([]);
    expect(ask(young)).toMatchObject([{ cause: "request-hangs" }]);
    expect(ask(young, { process: { alive: false, answers: false } })).toMatchObject([{ cause: "shim-killed" }]);
  });

  it("reads the section of the shim that served last, and takes no orderly end for a kill", () => {
    const gone = { process: { alive: false, answers: false } };
    const ended = (writer: Writer): void => {
      writer.create(noProgram);
      writer.occurred("ending", { reason: "shutdown" });
    };
    expect(ask(ended, gone)).toMatchObject([{ cause: "program-not-found" }]);
    const endedByDelete = (writer: Writer): void => {
      writer.create(noProgram);
      writer.header("delete");
      writer.occurred("shim lost", { pid: 7, wasRunning: true });
    };
    expect(ask(endedByDelete, gone)).toMatchObject([{ cause: "program-not-found" }]);
  });

  it("tells a program that was ended from one that ended by itself", () => {
    const exit = { id: "c1", status: 137 };
    expect(ask((writer) => writer.occurred("process exited", exit), { now: new Date(start) })).toMatchObject([
      { cause: "program-failed" },
    ]);
    const killed = (writer: Writer): void => {
      writer.ended(writer.began("Task/Kill", { attributes: { container_id: "c1" } }), "Task/Kill");
      writer.occurred("process exited", exit);
    };
    expect(ask(killed, { now: new Date(start) })).toEqual([]);
  });

  it("takes events that were delivered later for delivered", () => {
    const delayed = (writer: Writer): void => writer.occurred("events delayed", { topic: "/tasks/exit", error: "x" });
    expect(ask(delayed)).toMatchObject([{ cause: "containerd-gone" }]);
    const again = (writer: Writer): void => {
      delayed(writer);
      writer.occurred("events delivered again");
    };
    expect(ask(again)).toEqual([]);
  });
});

describe("facts of the machine", () => {
  const header = { host: "unix:/host.sock", events: "unix:///events.sock", bundle: "/b" };

  it("are those of what the pod depends on", async () => {
    const machine = {
      exists: async () => true,
      accepts: async (socket: string) => socket === "/host.sock",
      freeBytes: async () => 5,
    };
    expect(await gatherFacts(header, machine)).toEqual({
      hostSocket: { path: "/host.sock", accepts: true },
      eventSocket: { path: "/events.sock", accepts: false },
      freeBytes: 5,
    });
    const nothing = { ...machine, exists: async () => false };
    expect(await gatherFacts({ host: "none", events: "", bundle: "/b" }, nothing)).toEqual({});
  });

  it("are looked up on this one", async () => {
    const socket = join(tmpdir(), "facts.sock");
    const server = createServer();
    await new Promise<void>((resolve) => server.listen(socket, resolve));
    const facts = await gatherFacts({ host: `unix:${socket}`, events: "/no/such.sock", bundle: tmpdir() });
    expect(facts).toMatchObject({ hostSocket: { accepts: true }, eventSocket: { accepts: false } });
    expect(facts.freeBytes).toBeGreaterThan(0);
    await new Promise((resolve) => server.close(resolve));
  });
});

describe("the table of causes", () => {
  it("names each once", () => {
    expect(new Set(causes.map(({ code }) => code)).size).toBe(causes.length);
    expect(causes.length).toBeGreaterThanOrEqual(20);
  });

  it("is in the documentation", () => {
    const page = readFileSync(join(import.meta.dirname, "../../../../docs/diagnosis.md"), "utf8");
    expect(page).toContain(causesTable());
  });
});
