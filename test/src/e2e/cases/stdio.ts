import assert from "node:assert/strict";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { mustRun, startCommand } from "@uvm-shim/test-support/command";
import { COMMAND_MS, READY_MS } from "../../support/guest-kind.ts";
import { makeLoggingProgram } from "../../support/logging-program.ts";
import { poll } from "../../support/wait.ts";
import { digestOf, MEBIBYTE, PATTERN, pattern } from "../images.ts";
import type { Case, CaseContext } from "../suite.ts";
import { assertStatus, exec, runArguments, runContainer, waitForStatus, withDetached } from "./ctr.ts";

function assertSame(actual: Uint8Array, expected: Uint8Array): void {
  assert.equal(actual.byteLength, expected.byteLength, "number of bytes");
  assert.equal(digestOf(actual), digestOf(expected), "sha256");
}

/**
 * ctr with a terminal needs one itself: `script` gives it one, whose size is changed from outside, as the window of a
 * user's terminal would.
 */
async function terminal(context: CaseContext): Promise<void> {
  const inContainer = [
    // ctr sets the first size only after the start.
    'until stty size 2>/dev/null | grep "33 101"; do sleep 0.05; done',
    'until [ "$(stty size)" = "50 132" ]; do sleep 0.05; done',
    "echo resized",
    "read line",
    'echo "got $line"',
    "exit 9",
  ].join("; ");
  const ctr = context.containerd.ctrLine(
    runArguments(context, { id: context.newId("tty"), flags: ["--rm", "--tty"], command: ["sh", "-c", inContainer] }),
  );
  const outside = startCommand(
    "script",
    ["--quiet", "--return", "--command", `stty rows 33 cols 101; tty; ${ctr}`, "/dev/null"],
    {
      environment: { ...context.containerd.environment, SHELL: "/bin/sh" },
      timeoutMs: COMMAND_MS,
      signal: context.signal,
    },
  );
  const [path = ""] = await outside.outputMatches(/\/dev\/pts\/\d+/, READY_MS);
  await outside.outputMatches(/33 101/, READY_MS);
  await mustRun("stty", ["-F", path, "rows", "50", "cols", "132"]);
  await outside.outputMatches(/resized/, READY_MS);
  outside.write("typed\n");
  await outside.outputMatches(/got typed/, READY_MS);
  assertStatus(await outside.finished, 9);
}

async function loggingProgram(context: CaseContext): Promise<void> {
  const program = makeLoggingProgram(join(context.scratch, context.newId("logger")));
  const id = context.newId("logged");
  const flags = ["--log-uri", `binary://${program.path}?level=high`];
  await withDetached(context, { id, flags, command: ["sh", "-c", "echo one; echo two >&2"] }, () =>
    waitForStatus(context, id, "STOPPED"),
  );
  const received = `${context.containerd.namespace} ${id} level high\n`;
  assert.deepEqual(await program.written(context.signal), { received, stdout: "one\n", stderr: "two\n" });
}

/** It reads all that it is given, and goes on when there is no more. */
async function endlessLoggingProgram(context: CaseContext): Promise<void> {
  const path = join(context.scratch, context.newId("endless-logger"));
  const pidFile = `${path}.pid`;
  const script = ["#!/bin/sh", `echo $$ >${pidFile}`, "exec 5>&-", "cat <&3 >/dev/null", "exec sleep 1000", ""];
  writeFileSync(path, script.join("\n"), { mode: 0o755 });
  const id = context.newId("logged");
  await withDetached(context, { id, flags: ["--log-uri", `binary://${path}`], command: ["echo", "one"] }, () =>
    waitForStatus(context, id, "STOPPED"),
  );
  const pid = Number(readFileSync(pidFile, "utf8"));
  const hasEnded = () => !existsSync(`/proc/${pid}`) || undefined;
  await poll("the logging program to end", hasEnded, { timeoutMs: READY_MS, signal: context.signal });
}

/** The runc shim of containerd 2.1 at times loses a line here. */
function steady({ containerd, runtime }: CaseContext): boolean {
  return runtime.key === "lcow" || containerd.build.major < 2;
}

export const stdioCases: readonly Case[] = [
  {
    name: "8 MiB printed by an init that exits at once",
    run: async (context) => {
      const result = await runContainer(context, { id: context.newId("flood"), command: ["cat", PATTERN.path] });
      assertStatus(result, 0);
      assertSame(result.stdout, pattern(PATTERN.size));
    },
  },
  {
    name: "8 MiB printed by an exec that exits at once",
    run: (context) =>
      withDetached(context, {}, async (id) => {
        const result = await exec(context, id, ["cat", PATTERN.path]);
        assertStatus(result, 0);
        assertSame(result.stdout, pattern(PATTERN.size));
      }),
  },
  {
    name: "20 MiB through stdin and stdout of an exec",
    run: (context) =>
      withDetached(context, {}, async (id) => {
        const input = pattern(20 * MEBIBYTE);
        const result = await exec(context, id, ["cat"], { input });
        assertStatus(result, 0);
        assertSame(result.stdout, input);
      }),
  },
  { name: "a terminal, its size, a resize, and a line typed", run: terminal },
  {
    name: "output to a file through --log-uri",
    applies: steady,
    run: async (context) => {
      const log = join(context.scratch, context.newId("log"));
      const flags = ["--log-uri", `file://${log}`];
      await withDetached(context, { flags, command: ["sh", "-c", "echo one; echo two >&2"] }, async (id) => {
        await waitForStatus(context, id, "STOPPED");
        const lines = await poll(
          "both lines in the log",
          () => {
            const text = readFileSync(log, "utf8").trim().split("\n").sort();
            return text.length === 2 ? text : undefined;
          },
          { timeoutMs: READY_MS, signal: context.signal },
        );
        assert.deepEqual(lines, ["one", "two"]);
      });
    },
  },
  {
    name: "output to a logging program through --log-uri",
    // With the runc shim the logging program at times ends before it has read everything.
    applies: ({ runtime }) => runtime.key === "lcow",
    run: loggingProgram,
  },
  { name: "a logging program that does not end by itself is gone with its shim", run: endlessLoggingProgram },
  {
    name: "a container without stdio, and an exec that nobody listens to",
    run: (context) =>
      withDetached(
        context,
        { flags: ["--null-io"], command: ["sh", "-c", "cat; echo x; exec sleep 1000"] },
        async (id) => {
          const flags = ["task", "exec", "--detach", "--exec-id", "quiet"];
          await context.containerd.mustCtr([...flags, id, "sh", "-c", "echo x; : >/data/quiet"]);
          await poll(
            "the exec to be done",
            async () => (await exec(context, id, ["test", "-e", "/data/quiet"])).status === 0 || undefined,
            { timeoutMs: READY_MS, signal: context.signal },
          );
        },
      ),
  },
];
