/** `uvm-diag` on pods of a containerd: what it finds and shows, and programs in the VM, in a real terminal too. */
import assert from "node:assert/strict";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import {
  type CommandOptions,
  type CommandResult,
  describe,
  findProgram,
  mustRun,
  runCommand,
  startCommand,
} from "@uvm-shim/test-support/command";
import { READY_MS } from "../../support/guest-kind.ts";
import { DISTRIBUTION } from "../../support/programs.ts";
import { poll } from "../../support/wait.ts";
import type { Case, CaseContext } from "../suite.ts";
import type { WindowsCase } from "../windows/windows-pods.ts";
import { createContainer, withWindowsPod } from "../windows/windows-pods.ts";
import { assertStatus, exec, servingShim, withDetached } from "./ctr.ts";

const tool = join(DISTRIBUTION, "uvm-diag");

function diag(args: readonly string[], options: CommandOptions = {}): Promise<CommandResult> {
  return runCommand(tool, args, options);
}

async function mustDiag(...args: readonly string[]): Promise<string> {
  const result = await diag(args);
  assertStatus(result, 0);
  return result.stdout.toString();
}

async function jsonOf<T>(...args: readonly string[]): Promise<T> {
  return JSON.parse(await mustDiag(...args, "--json")) as T;
}

interface Listed {
  readonly id: string;
  readonly state: string;
  readonly shim: { readonly name: string; readonly version: string; readonly pid: number };
  readonly vm?: { readonly state: string };
  readonly containers: readonly { readonly id: string; readonly processes: readonly { readonly execId: string }[] }[];
}

async function whatRuns(context: CaseContext): Promise<void> {
  const { containerd } = context;
  await withDetached(context, {}, async (id) => {
    const held = startExec(context, id);
    await held.outputMatches(/held/, READY_MS);
    // Pods of other cases, that were to fail, have left their records.
    const pod = (await jsonOf<Listed[]>("list")).find((one) => one.id === id);
    assert.equal(pod?.state, "running");
    assert.equal(pod?.shim.name, context.runtime.program);
    assert.equal(pod?.shim.pid, servingShim(context, id));
    const execs = pod?.containers.find((one) => one.id === id)?.processes.map(({ execId }) => execId);
    assert.deepEqual(execs?.toSorted(), ["", "held"]);
    const listing = await mustDiag("list");
    for (const line of [
      `${containerd.namespace}/${id} .*running`,
      `${containerd.namespace}-${id}@vm +VM`,
      `  ${id} +container`,
      "    held +exec",
    ]) {
      assert.match(listing, new RegExp(`^ *${line}`, "m"), listing);
    }
    assert.match(await mustDiag("list", "--ids"), new RegExp(`^${containerd.namespace}/${id}$`, "m"));
    assert.equal((await mustDiag("pid", id)).trim(), `${servingShim(context, id)}`);
    assert.match(await mustDiag("tasks", id, "--execs"), new RegExp(`^${id} +held +RUNNING$`, "m"));
    await containerd.mustCtr(["task", "kill", "--exec-id", "held", "--signal", "SIGKILL", id]);
    await held.finished;
  });
}

function startExec(context: CaseContext, id: string) {
  const args = ["task", "exec", "--exec-id", "held", id, "sh", "-c", "echo held; exec sleep 1000"];
  return context.containerd.startCtr(args, { signal: context.signal });
}

interface State {
  readonly vm?: { readonly state: string; readonly held: readonly string[] };
  readonly containers: readonly { readonly id: string; readonly state: string; readonly held: readonly string[] }[];
}

async function whatIsKnown(context: CaseContext): Promise<void> {
  await withDetached(context, {}, async (id) => {
    assertStatus(await exec(context, id, ["sh", "-c", "exit 3"]), 3);
    const { vm, containers } = await jsonOf<State>("state", id);
    assert.match(vm?.state ?? "", /running/i);
    const container = containers.find((one) => one.id === id);
    assert.ok((container?.held.length ?? 0) > 0, "the container holds its layers");
    assert.match(await mustDiag("state"), /^State machines/m);

    const events = (await mustDiag("events", id, "--json"))
      .trim()
      .split("\n")
      .map((line) => JSON.parse(line));
    for (const name of ["Task/Create", "start VM", "createComputeSystem", "negotiateProtocol", "executeProcess"]) {
      assert.ok(
        events.some((line) => line.type === "began" && line.name === name),
        `${name} is among ${[...new Set(events.map((line) => line.name))].join(", ")}`,
      );
    }
    const timeline = await mustDiag("timeline", id);
    assert.match(timeline, /^Task\/Create.*█/m, timeline);
    assert.match(timeline, /^ +start VM .* \d[\d.]* m?s +\d[\d.]* m?s +█/m, timeline);
    const page = join(context.scratch, `${id}.html`);
    await mustDiag("timeline", id, "--html", page);
    assert.match(readFileSync(page, "utf8"), /<svg[^>]* class="timeline">.*start VM.*<\/svg>/s);

    assert.match(await mustDiag("logs", id, "--shim"), /^\d\d:\d\d:\d\d\.\d{3} shim {2}info {2}serving /m);
    const stacks = await jsonOf<{ readonly shim: string; readonly guest: string }>("stacks", id);
    assert.notEqual(stacks.shim.trim(), "");
    assert.notEqual(stacks.guest.trim(), "");
    assert.notEqual((await mustDiag("dump", id)).trim(), "");
    assert.ok(JSON.parse(await mustDiag("dump", id, "--vm")));
  });
}

async function programsInTheVm(context: CaseContext): Promise<void> {
  await withDetached(context, {}, async (id) => {
    const result = await diag(["exec", id, "--", "sh", "-c", "echo out; echo err >&2; exit 7"]);
    assertStatus(result, 7);
    assert.equal(result.stdout.toString(), "out\n");
    assert.equal(result.stderr, "err\n");
    const bytes = Buffer.alloc(1_000_000, "0123456789abcdef\n");
    const copied = await diag(["exec", "-i", id, "--", "cat"], { input: bytes });
    assertStatus(copied, 0);
    assert.ok(copied.stdout.equals(bytes), `${copied.stdout.length} bytes came back`);
    assert.equal(await mustDiag("exec", "--workdir", "/proc", id, "--", "sh", "-c", "pwd"), "/proc\n");
    const lacking = await diag(["exec", id, "--", "/no/such/program"]);
    assertStatus(lacking, 125);
    assert.match(lacking.stderr, /^uvm-diag: .*\/no\/such\/program/);
    // The processes of the VM are not those of the container.
    const namespace = ["ls", "-l", "/proc/self/ns/pid"];
    const [inVm, inContainer] = [
      await mustDiag("exec", id, "--", ...namespace),
      (await exec(context, id, namespace)).stdout.toString(),
    ].map((text) => /pid:\[\d+\]/.exec(text)?.[0]);
    assert.ok(inVm !== undefined && inContainer !== undefined, `${inVm}, ${inContainer}`);
    assert.notEqual(inVm, inContainer);
  });
}

async function interrupted(context: CaseContext): Promise<void> {
  await withDetached(context, {}, async (id) => {
    const running = startCommand(tool, ["exec", id, "--", "sh", "-c", "echo ready; exec sleep 4321"]);
    await running.outputMatches(/ready/, READY_MS);
    running.process.kill("SIGINT");
    assertStatus(await running.finished, 130);
    await poll(
      "the program in the VM to end",
      async () =>
        (await jsonOf<{ diagnostics: { programs: unknown[] } }>("state", id)).diagnostics.programs.length === 0
          ? true
          : undefined,
      { timeoutMs: READY_MS, signal: context.signal },
    );
  });
}

async function sharedFolders(context: CaseContext): Promise<void> {
  const folder = join(context.scratch, "shared");
  mkdirSync(folder);
  writeFileSync(join(folder, "of-the-host"), "from the host\n");
  await withDetached(context, {}, async (id) => {
    assert.equal(await mustDiag("share", id, folder, "/run/shared"), `${folder} is at /run/shared in the VM\n`);
    assert.equal(await mustDiag("exec", id, "--", "cat", "/run/shared/of-the-host"), "from the host\n");
    await mustDiag("exec", id, "--", "sh", "-c", "echo from the VM > /run/shared/of-the-vm");
    assert.equal(readFileSync(join(folder, "of-the-vm"), "utf8"), "from the VM\n");
    await mustDiag("share", id, folder, "/run/kept", "--read-only");
    assertStatus(await diag(["exec", id, "--", "sh", "-c", "> /run/kept/new || exit 1"]), 1);
    const missing = await diag(["share", id, join(folder, "missing"), "/run/other"]);
    assertStatus(missing, 1);
    assert.match(missing.stderr, /missing/);
    assert.match(await mustDiag("state", id), /\/run\/shared/);
  });
}

async function followed(context: CaseContext): Promise<void> {
  let following: ReturnType<typeof startCommand> | undefined;
  await withDetached(context, {}, async (id) => {
    following = startCommand(tool, ["events", id, "--follow"]);
    await following.outputMatches(/Task\/Start/, READY_MS);
    assertStatus(await exec(context, id, ["true"]), 0);
    await following.outputMatches(/Task\/Exec/, READY_MS);
  });
  const result = await following?.finished;
  assert.ok(result);
  assertStatus(result, 0);
  assert.match(result.stderr, /has ended$/m);
}

async function names(context: CaseContext): Promise<void> {
  await withDetached(context, {}, async (id) => {
    const unknown = await diag(["state", `${id}x`]);
    assertStatus(unknown, 3);
    assert.match(unknown.stderr, new RegExp(`there is no pod "${id}x"; there are .*Did you mean ${id}\\?`));
    assertStatus(await diag(["staet", id]), 2);
  });
}

const columns = 96;

/** A shell in the VM, with keys pressed and the screen looked at in a real terminal. */
async function terminal(context: CaseContext): Promise<void> {
  const tmux = (...args: string[]): Promise<string> =>
    mustRun("tmux", ["-S", join(context.scratch, "tmux"), "-f", "/dev/null", ...args]);
  const screen = (): Promise<string> => tmux("capture-pane", "-p", "-t", "diag");
  const shows = (pattern: RegExp): Promise<string> =>
    poll(
      `the screen to show ${pattern}`,
      async () => {
        const text = await screen();
        return pattern.test(text) ? text : undefined;
      },
      { timeoutMs: READY_MS, signal: context.signal },
    );
  const keys = async (...pressed: string[]): Promise<void> => void (await tmux("send-keys", "-t", "diag", ...pressed));
  await withDetached(context, {}, async (id) => {
    await tmux("new-session", "-d", "-s", "diag", "-x", `${columns}`, "-y", "30", "/bin/sh");
    try {
      await keys("PS1='host> '; clear", "Enter");
      await shows(/^host>$/m);
      await keys(`${tool} exec -it ${id} -- /bin/sh`, "Enter");
      await shows(/^\S*[#$]$/m);
      await keys("PS1='vm> '", "Enter");
      await shows(/^vm>$/m);
      // The terminal is the guest's: it echoes, edits lines, and turns Ctrl-C into a signal there.
      await keys("[ -t 0 ] && echo on''ce", "Enter");
      await shows(/^once$/m);
      await keys("echo wrogn", "BSpace", "BSpace", "ng", "Enter");
      await shows(/^wrong$/m);
      await keys("echo sle''eping; sleep 1000", "Enter");
      await shows(/^sleeping$/m);
      await keys("C-c");
      await shows(/^sleeping\n\^C\s*vm>$/m);
      await keys(`stty rows 30 cols ${columns}; stty size`, "Enter");
      await shows(new RegExp(`^30 ${columns}$`, "m"));
      await keys("exit 9", "Enter");
      await shows(/^host>$/m);
      // In raw mode it is -icanon.
      await keys("echo code $?; stty -a | grep -o '.icanon'", "Enter");
      await shows(/^code 9\n icanon$/m);
      await keys("clear", "Enter");
      await keys(`${tool} exec -it ${id} -- sleep 1000; echo left $?`, "Enter");
      await poll(
        "the program in the VM to run",
        async () =>
          (await jsonOf<{ diagnostics: { programs: unknown[] } }>("state", id)).diagnostics.programs.length > 0
            ? true
            : undefined,
        { timeoutMs: READY_MS, signal: context.signal },
      );
      await keys("C-]", "C-]", "C-]");
      await shows(/^left 125$/m);
      await keys("clear; stty -a | grep -o '.icanon'", "Enter");
      await shows(/^ icanon$/m);
    } finally {
      await tmux("kill-server");
    }
  });
}

function hasTmux(): boolean {
  if (findProgram("tmux") !== undefined) return true;
  process.stdout.write("left out: a terminal in the VM, which needs tmux: apt-get install tmux\n");
  return false;
}

const ofVms = ({ runtime }: CaseContext): boolean => runtime.key === "lcow";

export const diagnosisCases: readonly Case[] = [
  { name: "uvm-diag: what runs", applies: ofVms, run: whatRuns },
  { name: "uvm-diag: what is known of a pod", applies: ofVms, run: whatIsKnown },
  { name: "uvm-diag: programs in the VM", applies: ofVms, run: programsInTheVm },
  { name: "uvm-diag: Ctrl-C ends the program in the VM", applies: ofVms, run: interrupted },
  { name: "uvm-diag: shared folders", applies: ofVms, run: sharedFolders },
  { name: "uvm-diag: events as they come", applies: ofVms, run: followed },
  { name: "uvm-diag: names of pods and commands", applies: ofVms, run: names },
  { name: "uvm-diag: a terminal in the VM", applies: (context) => ofVms(context) && hasTmux(), run: terminal },
];

export const windowsDiagnosisCases: readonly WindowsCase[] = [
  {
    name: "uvm-diag: a Windows pod",
    run: async (context) => {
      await withWindowsPod(context, async (pod) => {
        const container = await createContainer(context, pod, "C:\\probe.exe copy");
        await container.start();
        const { id } = pod.identity;
        const listed = (await jsonOf<Listed[]>("list")).find((one) => one.id === id && one.state === "running");
        assert.equal(listed?.shim.name, "containerd-shim-wcow-v2");
        assert.ok(
          listed?.containers.some((one) => one.id === container.id),
          "the container is listed",
        );
        assert.match((await jsonOf<State>("state", id)).vm?.state ?? "", /running/i);
        assert.match(await mustDiag("timeline", id), /^ +start VM .*█/m);
        assert.equal((await mustDiag("pid", id)).trim(), `${await pod.shimPid()}`);
        const ran = await diag(["exec", id, "--", "cmd", "/c", "echo in the VM& exit 5"]);
        assertStatus(ran, 5);
        assert.match(ran.stdout.toString(), /^in the VM\r?\n$/, describe(ran));
        await container.closeStdin();
        assert.equal(await container.wait(), 0);
        assert.equal(await container.delete(), 0);
      });
    },
  },
];
