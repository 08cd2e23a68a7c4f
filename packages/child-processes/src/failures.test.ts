import { type ChildProcess, spawn } from "node:child_process";
import { EventEmitter } from "node:events";
import { expect, it, vi } from "vitest";
import { startProgram } from "./index.ts";

vi.mock("node:child_process", () => ({ spawn: vi.fn() }));

const failure = (code: string): Error => Object.assign(new Error(`spawn program ${code}`), { code, syscall: "spawn" });

/** How Node reports a failure: it throws, or emits an event on a child without a pid and mostly without streams. */
const ways: readonly [string, (code: string) => ChildProcess][] = [
  ["thrown", (code) => raise(failure(code))],
  ["emitted as an event", (code) => failing(code, [])],
  ["emitted as an event of a child without streams", (code) => failing(code, undefined)],
];

function raise(error: Error): never {
  throw error;
}

function failing(code: string, stdio: [] | undefined): ChildProcess {
  const child = Object.assign(new EventEmitter(), { pid: undefined, stdio });
  process.nextTick(() => child.emit("error", failure(code)));
  return child as unknown as ChildProcess;
}

it.each(
  ways.flatMap(([way, fail]) => ["EMFILE", "ENFILE", "ENOMEM", "EAGAIN"].map((code) => [code, way, fail] as const)),
)("rejects with %s, %s", async (code, _way, fail) => {
  vi.mocked(spawn).mockImplementationOnce(() => fail(code));
  const onPid = vi.fn();
  await expect(startProgram("program", [], {}, onPid)).rejects.toMatchObject({ code });
  expect(onPid).not.toHaveBeenCalled();
});
