import { readFileSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { BeganLine, RecordLine } from "@uvm-shim/shim/record";
import { describe, expect, it } from "vitest";
import { sampleState } from "../testing/samples.ts";
import { causesTable } from "./causes-table.ts";
import { defaultHostSocket, thisMachine } from "./facts.ts";
import { causes, gatherFacts, type WhyInput, why } from "./index.ts";

const start = Date.parse("2026-11-29T12:00:00.000Z");

/** Writes lines of a record, a second apart. */
class Writer {
  readonly lines: RecordLine[] = [];

  add(line: { readonly type: "omitted"; readonly lines: number }): void {
    this.lines.push({ ...this.#next(), ...line });
  }

  header(by: "serve" | "start" | "delete" | "sandboxer" = "serve"): void {
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
  const process = { alive: true };
  return why({ pod: { namespace: "ns", id: "p" }, now, events: writer.lines, log: [], process, ...more });
}

const noProgram = 'process.args[0] "sh" not found';

describe("why", () => {
  it("finds nothing wrong with a pod that runs, or of which nothing is known", () => {
    expect(ask((writer) => writer.create())).toEqual([]);
    expect(ask(() => {}, { events: [], process: { alive: false } })).toEqual([]);
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
    expect(ask(young, { process: { alive: false } })).toMatchObject([{ cause: "shim-killed" }]);
  });

  it("reads the section of the shim that served last, and takes no orderly end for a kill", () => {
    const gone = { process: { alive: false } };
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

  it("counts no kill for memory as an end by itself, nor what ends with its host", () => {
    const killed = (writer: Writer): void => {
      writer.occurred("out of memory", { container: "c1" });
      writer.occurred("process exited", { id: "c1", status: 137 });
    };
    expect(ask(killed, { now: new Date(start) })).toMatchObject([{ cause: "out-of-memory" }]);
    const lost = (writer: Writer): void => {
      writer.occurred("host service lost", { error: "closed" });
      writer.occurred("process exited", { id: "c1", status: 255 });
    };
    expect(ask(lost, { now: new Date(start) })).toMatchObject([{ cause: "host-service-lost" }]);
  });

  it("looks at the pod, and not at those who look at it", () => {
    const looking = (writer: Writer): void => {
      const shell = writer.began("ShimDiag/DiagExecInHost");
      const wait = writer.began("waitForProcess", { kind: "guest-request", parent: shell });
      writer.ended(wait, "waitForProcess");
      const other = writer.began("ShimDiag/DiagExecInHost");
      writer.ended(other, "ShimDiag/DiagExecInHost", noProgram);
    };
    expect(ask(looking)).toEqual([]);
  });

  it("takes no refusal of a client's small mistake for something that the pod suffered", () => {
    const mistaken = (writer: Writer): void => {
      for (const [name, code] of [
        ["Task/Kill", "NotFound"],
        ["Task/Pids", "FailedPrecondition"],
        ["Task/Create", "Cancelled"],
      ] as const) {
        writer.ended(writer.began(name), name, "the pod is stopped, expected running", code);
      }
    };
    expect(ask(mistaken)).toEqual([]);
  });

  it("follows the failure that became the request's, past one that was got over", () => {
    const [verdict] = ask((writer) => {
      const request = writer.began("Task/Create", { attributes: { container_id: "c1" } });
      const probe = writer.began("probe", { kind: "host-call", parent: request });
      writer.ended(probe, "probe", "ENOSPC: no space left on device, open '/x'");
      const create = writer.began("create", { kind: "guest-request", parent: request });
      writer.ended(create, "create", noProgram);
      writer.ended(request, "Task/Create", `create container c1: ${noProgram}`);
    });
    expect(verdict).toMatchObject({
      cause: "program-not-found",
      evidence: [{ text: `create failed with Internal: ${noProgram}` }, {}],
    });
  });

  it("takes what may have ended among lines that were left out for a hang only if the shim says so", () => {
    const long = (writer: Writer): void => {
      writer.began("Task/Create", { activityId: "a" });
      writer.occurred("process exited", { id: "c1", status: 0 });
      writer.ended(
        writer.began("waitForProcess", { kind: "guest-request", attributes: { container: "c2" } }),
        "waitForProcess",
      );
      writer.add({ type: "omitted", lines: 1000 });
    };
    expect(ask(long)).toEqual([]);
    const since = new Date(start).toISOString();
    const calls = [{ method: "containerd.task.v3.Task/Create", since, milliseconds: 590_000, activityId: "a" }];
    const state = { ...sampleState(), takenAt: new Date(start + 600_000).toISOString(), calls, containers: [] };
    expect(ask(long, { state })).toMatchObject([{ cause: "request-hangs" }]);
    expect(ask(long, { state: { ...state, calls: [] } })).toEqual([]);
    // The clock was set forward meanwhile.
    expect(ask(long, { state: { ...state, calls: calls.map((call) => ({ ...call, milliseconds: 20 })) } })).toEqual([]);
  });

  it("waits for no process of a start that hangs after it", () => {
    const starting = (writer: Writer): void => {
      const request = writer.began("Task/Start", { attributes: { container_id: "c1" } });
      writer.began("waitForProcess", { kind: "guest-request", parent: request });
    };
    expect(ask(starting)).toMatchObject([{ cause: "request-hangs", sentence: "Start has waited for 598 s." }]);
  });

  it("names a shim that is silent, before what waits because of it", () => {
    const waiting = (writer: Writer): void => void writer.began("Task/Create");
    const silent = { process: { alive: true, silence: "no answer" }, facts: { processState: "is stopped" } } as const;
    expect(ask(waiting, silent)).toMatchObject([
      {
        cause: "shim-silent",
        sentence: "The shim of the pod (pid 7) runs, and does not answer.",
        evidence: [{ text: "process 7 is stopped" }, {}],
      },
    ]);
    expect(ask(() => {}, { process: { alive: true, silence: "not served" } })).toMatchObject([
      { cause: "shim-unreachable", sentence: "The shim of the pod (pid 7) runs, and nothing serves its socket /s." },
    ]);
    // One that has just begun does not serve yet, and one that has ended its pod does not serve any more.
    expect(ask(() => {}, { ...silent, now: new Date(start + 3000) })).toEqual([]);
    expect(ask((writer) => writer.occurred("ending", { reason: "x" }), silent)).toEqual([]);
  });

  it("does not say of a record from elsewhere that its shim is gone, unless the record does", () => {
    const elsewhere = { process: { alive: undefined } };
    expect(ask((writer) => writer.create(), elsewhere)).toEqual([]);
    const hanging = (writer: Writer): void => void writer.began("Task/Create");
    expect(ask(hanging, elsewhere)).toMatchObject([{ cause: "request-hangs" }]);
    const lost = (writer: Writer): void => {
      hanging(writer);
      writer.header("delete");
      writer.occurred("shim lost", { pid: 7, wasRunning: false });
    };
    expect(ask(lost, elsewhere)).toMatchObject([{ cause: "shim-killed" }]);
    const lostWithSandboxer = (writer: Writer): void => {
      hanging(writer);
      writer.header("sandboxer");
      writer.occurred("shim lost", { pid: 7, wasRunning: false, withSandboxer: true });
    };
    expect(ask(lostWithSandboxer, elsewhere)).toMatchObject([
      {
        cause: "shim-killed",
        sentence: expect.stringMatching(/^The sandboxer that served the pod \(pid \d+\) was killed/),
      },
    ]);
  });

  it("says of a VM that the host did not start why it did not, and not that it crashed", () => {
    const starting = (message: string) => (writer: Writer) => {
      const request = writer.began("Sandbox/StartSandbox");
      const start = writer.began("start", { kind: "host-call", parent: request });
      writer.occurred("vm exited", { isExpected: false, crash: "the guest could not be started" });
      writer.ended(start, "start", message);
      writer.ended(request, "Sandbox/StartSandbox", message);
    };
    const causesOf = (message: string) => ask(starting(message)).map(({ cause }) => cause);
    expect(causesOf("Windows guests need Wine in /w: run")).toEqual(["program-of-machine-missing"]);
    expect(causesOf("the guest crashed")).toEqual(["guest-died-at-boot"]);
  });

  it("counts only the time in which a pod could suffer", () => {
    const delayed = (writer: Writer): void => {
      writer.occurred("events delayed", { topic: "/tasks/exit", error: "x" });
      writer.occurred("ending", { reason: "x" });
    };
    const [verdict] = ask(delayed, { process: { alive: false } });
    expect(verdict?.sentence).toMatch(/^containerd has taken no events of the pod for 1 s/);
  });

  it("survives a record that was made to confuse it", () => {
    const confusing = (writer: Writer): void => {
      const own = writer.lines.length + 1;
      writer.ended(writer.began("Task/Create", { parent: own }), "Task/Create", "one");
      let parent = writer.began("Task/Create");
      const first = parent;
      for (let depth = 0; depth < 20_000; depth++) parent = writer.began(`deep ${depth}`, { kind: "phase", parent });
      writer.ended(parent, "deep", "the moon is full");
      writer.ended(first, "Task/Create", "two");
    };
    expect(ask(confusing)).toMatchObject([{ cause: "unexplained" }]);
    expect(ask(confusing, { now: new Date(start + 100_000_000) }).length).toBeGreaterThan(0);
  });

  it("answers soon, however long the messages are", () => {
    const long = (writer: Writer): void => {
      for (let count = 0; count < 300; count += 1) writer.create(`${"a_".repeat(12_000)}: ${noProgram}`);
    };
    const began = performance.now();
    expect(ask(long)).toMatchObject([{ cause: "program-not-found" }]);
    const unknown = (writer: Writer): void => {
      for (let count = 0; count < 300; count += 1) writer.create("a_".repeat(12_000));
    };
    expect(ask(unknown)).toMatchObject([{ cause: "unexplained" }]);
    // It took a quarter of an hour.
    expect(performance.now() - began).toBeLessThan(30_000);
  }, 60_000);

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
  const process = { pid: 7, processStartTime: "42" };
  const header = { host: "unix:/host.sock", events: "unix:///events.sock", bundle: "/b", ...process };
  /** As the kernel writes it. */
  const stat = (state: string, began: string): string =>
    `7 (a ) b) ${[state, ...Array(18).fill("0"), began].join(" ")} 0`;

  it("are those of what the pod depends on", async () => {
    const machine = {
      accepts: async (socket: string) => socket === "/host.sock",
      freeBytes: async () => 5,
      processStat: async () => stat("T", "42"),
    };
    expect(await gatherFacts(header, machine)).toEqual({
      processState: "is stopped",
      hostSocket: { path: "/host.sock", accepts: true },
      eventSocket: { path: "/events.sock", accepts: false },
      freeBytes: 5,
    });
    const nothing = { ...machine, freeBytes: async () => undefined, processStat: async () => stat("S", "43") };
    const little = { host: "none", events: "", bundle: "/b", ...process };
    expect(await gatherFacts(little, nothing)).toEqual({});
    // The usual socket is one of Linux.
    const asked: string[] = [];
    const accepts = async (socket: string): Promise<boolean> => asked.push(socket) === 0;
    await gatherFacts({ ...little, host: "" }, { ...nothing, accepts }, "win32");
    expect(asked).toEqual([]);
    await gatherFacts({ ...little, host: "" }, { ...nothing, accepts }, "linux");
    expect(asked).toEqual([defaultHostSocket]);
  });

  it("are looked up on this one", async () => {
    const socket = join(tmpdir(), "facts.sock");
    const server = createServer();
    await new Promise<void>((resolve) => server.listen(socket, resolve));
    const own = { pid: globalThis.process.pid, processStartTime: "" };
    const facts = await gatherFacts({ host: `unix:${socket}`, events: "/no/such.sock", bundle: tmpdir(), ...own });
    expect(facts.processState).toMatch(/^(runs|sleeps), /);
    expect(facts).toMatchObject({ hostSocket: { accepts: true }, eventSocket: { accepts: false } });
    expect(facts.freeBytes).toBeGreaterThan(0);
    await new Promise((resolve) => server.close(resolve));
  });

  it("say nothing of a bundle that is gone", async () => {
    expect(await thisMachine.freeBytes("/no/such/bundle")).toBeUndefined();
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
