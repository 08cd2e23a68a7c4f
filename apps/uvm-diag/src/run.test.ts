import { mkdtempSync, readFileSync, writeFileSync } from "node:fs";
import { constants, open } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { PassThrough } from "node:stream";
import { text } from "node:stream/consumers";
import { TtrpcError } from "@uvm-shim/ttrpc";
import { afterEach, describe, expect, it } from "vitest";
import type { Pod } from "./pods/pod.ts";
import { runDiag, type Surroundings } from "./run.ts";
import { DiagServer, type ServerOptions } from "./testing/diag-server.ts";
import { begin, hostile, Lines, sampleLines, sampleState, timeAt } from "./testing/samples.ts";

const cleanups: (() => unknown)[] = [];

afterEach(async () => {
  for (const cleanup of cleanups.splice(0)) await cleanup();
});

async function serve(options: Omit<ServerOptions, "socket"> = {}) {
  const folder = mkdtempSync(path.join(tmpdir(), "diag-"));
  const socket = path.join(folder, "shim.sock");
  const server = await DiagServer.listen({ socket, ...options });
  cleanups.push(() => server.close());
  return { server, folder, pod: podAt(socket) };
}

function podAt(socket: string | undefined, more: Partial<Pod> = {}): Pod {
  return {
    ...{ namespace: "default", id: "web", shim: "containerd-shim-lcow-v2", pid: 4121, isElsewhere: false },
    ...{ socket, bundle: "/b", record: undefined, members: [], ...more },
  };
}

interface Ran {
  readonly code: number;
  readonly out: string;
  readonly err: string;
}

async function run(
  words: string,
  pods: readonly Pod[],
  more: Partial<Surroundings> & { readonly input?: string } = {},
): Promise<Ran> {
  const [stdin, stdout, stderr] = [new PassThrough(), new PassThrough(), new PassThrough()];
  stdin.end(more.input ?? "");
  const texts = [text(stdout), text(stderr)];
  const code = await runDiag({
    ...{
      arguments: words.split(" "),
      env: {},
      platform: "linux",
      userId: 0,
      version: "0.1.0",
      versionText: "uvm-diag 0.1.0\n",
    },
    ...{ now: () => new Date(begin + 120_000), signal: new AbortController().signal, findPods: () => pods },
    streams: { stdin, stdout, stderr } as unknown as Surroundings["streams"],
    ...more,
  });
  stdout.end();
  stderr.end();
  const [out = "", err = ""] = await Promise.all(texts);
  return { code, out, err };
}

describe("list", () => {
  it("says so if there are no pods", async () => {
    expect(await run("list", [])).toEqual({
      code: 0,
      out: "No pods: no shim of uvm-shim runs on this machine, and none left a record.\n",
      err: "",
    });
    expect((await run("list --json", [])).out).toBe("[]\n");
  });

  it("shows pods, VMs, containers and execs, and also shims that do not tell, do not answer or are gone", async () => {
    const ours = await serve({ state: sampleState() });
    const other = await serve();
    const pods = [
      ours.pod,
      { ...other.pod, namespace: "", id: "k8s.io-hcsshim" },
      podAt("/nowhere", { id: "silent" }),
      podAt(undefined, { id: "gone", record: "/r" }),
      podAt("/s", { id: "away", isElsewhere: true }),
    ];
    const { out, code } = await run("list", pods);
    expect(code).toBe(0);
    expect(out.split("\n")).toEqual([
      "NAME              KIND       STATE      PID   SINCE  DETAILS",
      "default/web       pod        running    4121  2 min  containerd-shim-lcow-v2 0.1.0, Node v26.10.0, 1 calls not answered yet",
      "  default-web@vm  VM         Running          2 min",
      "  web-app         container  Running      33  2 min",
      "    shell         exec       stopped      34  2 min  exited with 3",
      "k8s.io-hcsshim    pod        serving    4121         containerd-shim-lcow-v2 (its State is not known)",
      "  web             container",
      "    init          process    RUNNING",
      "    sh            process    STOPPED",
      "default/silent    pod        no answer  4121         no shim serves default/silent any more (/nowhere): it has ended, see uvm-diag why",
      "default/gone      pod        shim gone               left: its bundle and a record",
      "default/away      pod        no answer  4121         the shim of default/away is in another mount namespace, where this has to run: nsenter --target 4121 --mount --pid uvm-diag",
      "",
    ]);
    expect((await run("list --ids", pods)).out.split("\n").slice(0, 2)).toEqual(["default/web", "k8s.io-hcsshim"]);
    expect(JSON.parse((await run("list --json", pods)).out)).toMatchObject([
      { id: "web", state: "running", shim: { version: "0.1.0", answers: true }, containers: [{ id: "web-app" }] },
      { id: "k8s.io-hcsshim", state: "serving", shim: { pid: 4121 } },
      { id: "silent", state: "silent", shim: { answers: false } },
      { id: "gone", state: "gone" },
      { id: "away", state: "silent" },
    ]);
  });

  it("names no pod to a shell by what the shell would execute", async () => {
    const pods = [podAt(undefined, { id: "$(touch x)" }), podAt(undefined, { id: "a`b`" }), podAt(undefined)];
    expect((await run("list --ids", pods)).out).toBe("default/web\n");
    expect((await run("list", pods)).out).toContain("default/$(touch x)");
  });

  it("stops waiting for a shim that hangs when it is interrupted", async () => {
    for (const command of ["list", "state", "pid web", "why web", "events web"]) {
      const interruption = new AbortController();
      const { pod } = await serve({ hangs: () => interruption.abort(), state: sampleState() });
      expect(await run(command, [pod], { signal: interruption.signal }), command).toMatchObject({ code: 130, err: "" });
    }
  });

  it("does not wait long for a shim that hangs", async () => {
    const { pod } = await serve({ hangs: () => {} });
    const { out, code } = await run("list --timeout 0.05", [pod]);
    expect(code).toBe(0);
    expect(out).toContain("did not answer within 0.05 s");
  });
});

describe("state", () => {
  it("shows everything that the shim tells", async () => {
    const { pod } = await serve({ state: sampleState() });
    const { out, code } = await run("state web", [pod]);
    expect(code).toBe(0);
    for (const line of [
      /^default\/web$/m,
      /^ {2}shim {5}containerd-shim-lcow-v2 0\.1\.0, pid 4121, up 2 min, Node v26\.10\.0$/m,
      /^ {11}64 MiB resident, 34 descriptors, event loop 1\.2 % busy$/m,
      /^ {2}sandbox {2}running \(api\), accepts containers$/m,
      /^ {2}VM {7}Running for 2 min$/m,
      /^ {2}holds {4}listener, guest$/m,
      /^ {2}shell +stopped +2 min +34 +exited with 3$/m,
      /^containerd\.task\.v3\.Task\/Create +1 min 59 s +0a1b2c3d-0000-4000-8000-000000000002$/m,
      /^createContainer container=slow +guest-request +1 min 58 s +Task\/Create › acquire guest's container$/m,
    ])
      expect(out).toMatch(line);
    expect(out).not.toContain(hostile);
    expect(JSON.parse((await run("state --json web", [pod])).out)).toEqual(sampleState());
  });

  it("of all pods names those that cannot tell", async () => {
    const { pod } = await serve({ state: sampleState() });
    const { out, err, code } = await run("state", [
      pod,
      podAt(undefined, { id: "gone" }),
      podAt("/nowhere", { id: "dead" }),
    ]);
    expect(out).toContain("default/web\n");
    expect(err).toBe(
      "default/gone: its shim is gone\ndefault/dead: no shim serves default/dead any more (/nowhere): it has ended, see uvm-diag why\n",
    );
    expect(code).toBe(1);
  });
});

describe("a shim that has hcsshim's service only", () => {
  it.each(["state", "events", "logs", "timeline", "dump"])(
    "does not have what %s needs, and the tool says so",
    async (command) => {
      const { pod } = await serve();
      const { code, err, out } = await run(`${command} web`, [pod]);
      expect({ code, out }).toEqual({ code: 4, out: "" });
      expect(err).toMatch(
        /^uvm-diag: the shim of default\/web, asked for .*, does not know this: it is hcsshim's, or of another version/,
      );
    },
  );

  it("tells its pid, tasks and stacks", async () => {
    const { pod } = await serve();
    expect(await run("pid web", [pod])).toEqual({ code: 0, out: "4121\n", err: "" });
    expect((await run("pid web --json", [pod])).out).toBe('{\n  "pid": 4121\n}\n');
    expect((await run("tasks web", [pod])).out).toBe("web\n");
    expect((await run("tasks web --execs", [pod])).out).toBe(
      "TASK  EXEC  STATE\nweb   init  RUNNING\nweb   sh    STOPPED\n",
    );
    expect((await run("stacks web", [pod])).out).toBe("Shim\nshim: waits for \\u{1b}[2Jnothing\nGuest\nguest: main\n");
  });

  it("is also found by its socket, without root", async () => {
    const { pod } = await serve();
    expect(await run(`pid --socket ${pod.socket}`, [], { userId: 1000 })).toEqual({ code: 0, out: "4121\n", err: "" });
  });

  it("takes shares", async () => {
    const shares: object[] = [];
    const { pod } = await serve({
      share: ({ hostPath, uvmPath, readOnly }) => void shares.push({ hostPath, uvmPath, readOnly }),
    });
    const { out } = await run("share web data /mnt/data --read-only", [pod]);
    expect(shares).toEqual([{ hostPath: path.resolve("data"), uvmPath: "/mnt/data", readOnly: true }]);
    expect(out).toBe(`${path.resolve("data")} is at /mnt/data in the VM, read-only\n`);
    expect(await run("share web data relative", [pod])).toMatchObject({ code: 2 });
  });
});

describe("exec", () => {
  it("passes streams and arguments on, and ends with the program's exit code", async () => {
    const requests: unknown[] = [];
    const { pod } = await serve({
      execInHost: async ({ args, workdir, terminal, stdin, stdout, stderr }) => {
        requests.push({ args, workdir, terminal });
        const [input, output, errors] = await Promise.all([
          open(stdin, constants.O_RDONLY),
          open(stdout, "w"),
          open(stderr, "w"),
        ]);
        const given = await text(input.createReadStream());
        await output.writeFile(given.toUpperCase());
        await errors.writeFile("careful");
        await Promise.all([output.close(), errors.close()]);
        return 7;
      },
    });
    const ran = await run("exec -i --workdir /tmp web -- tr -s a", [pod], { input: "hello" });
    expect(ran).toEqual({ code: 7, out: "HELLO", err: "careful" });
    expect(requests).toEqual([{ args: ["tr", "-s", "a"], workdir: "/tmp", terminal: false }]);
  });

  it.each([
    ["failed to exec into host: process exited with exit code 3", 3],
    ["the copy of stderr failed\nprocess exited with exit code 4294967295", 255],
  ])("has the exit code that hcsshim's service has in an error: %s", async (message, code) => {
    const { pod } = await serve({ execInHost: () => Promise.reject(new TtrpcError("Unknown", message)) });
    expect(await run("exec web -- false", [pod])).toEqual({ code, out: "", err: "" });
  });

  it("keeps a failure a failure", async () => {
    const { pod } = await serve({ execInHost: async () => 256 });
    expect(await run("exec web -- x", [pod])).toMatchObject({ code: 1 });
  });

  it("ends with 125 for what is not the program's", async () => {
    const { pod } = await serve({
      execInHost: async () => {
        throw Object.assign(new Error("the VM does not run"), { code: "FailedPrecondition" });
      },
    });
    expect(await run("exec -i web -- x", [pod], { input: "unread" })).toEqual({
      code: 125,
      out: "",
      err: "uvm-diag: the shim of default/web, asked to execute a program, refused: the VM does not run (FailedPrecondition)\n",
    });
    expect(await run("exec nobody -- x", [pod])).toMatchObject({ code: 125 });
    expect(await run("exec web -- x", [pod], { userId: 1000 })).toMatchObject({ code: 125 });
    expect(await run("exec web", [pod])).toMatchObject({ code: 2 });
  });

  it("has a key to leave by in raw mode, also while the shim has opened nothing, and gives the terminal back", async () => {
    const { pod } = await serve({ execInHost: () => new Promise(() => {}) });
    const modes: boolean[] = [];
    const keys = Object.assign(new PassThrough(), { isTTY: true, setRawMode: (mode: boolean) => modes.push(mode) });
    const [stdout, stderr] = [new PassThrough(), new PassThrough()];
    keys.write("\u001d\u001d\u001d");
    const streams = { stdin: keys, stdout, stderr } as unknown as Surroundings["streams"];
    expect(await run("exec -it web -- sh", [pod], { streams })).toMatchObject({ code: 125 });
    expect(modes).toEqual([true, false]);
    expect(String(stderr.read())).toBe("uvm-diag: left, which ends the program\n");
  });

  it("takes no bytes of a file for keys", async () => {
    const { pod } = await serve({
      execInHost: async ({ stdin, stdout }) => {
        const [input, output] = await Promise.all([open(stdin, constants.O_RDONLY), open(stdout, "w")]);
        await output.writeFile(await text(input.createReadStream()));
        await output.close();
        return 0;
      },
    });
    const input = "\u001d".repeat(10);
    expect(await run("exec -i web -- cat", [pod], { input })).toMatchObject({ code: 0, out: input });
    expect(await run("exec -it web -- cat", [pod], { input })).toMatchObject({ code: 0, out: input });
  });

  it("ends when its reader does not read and it is interrupted", async () => {
    const interruption = new AbortController();
    const { pod } = await serve({
      execInHost: async ({ stdout }) => {
        const output = await open(stdout, "w");
        void output.writeFile(Buffer.alloc(2_000_000)).catch(() => output.close());
        setImmediate(() => interruption.abort());
        return 0;
      },
    });
    const streams = {
      stdin: new PassThrough().end(),
      stdout: new PassThrough(),
      stderr: new PassThrough(),
    } as unknown as Surroundings["streams"];
    const ran = await run("exec web -- yes", [pod], { streams, signal: interruption.signal });
    expect(ran.code).toBe(130);
  });

  it("leaves no connection open when it cannot make its pipes", async () => {
    const { pod, server } = await serve();
    const PATH = process.env.PATH;
    process.env.PATH = "";
    try {
      expect(await run("exec web -- x", [pod])).toMatchObject({ code: 125, err: expect.stringContaining("mkfifo") });
    } finally {
      process.env.PATH = PATH;
    }
    await expect.poll(() => server.connections).toBe(0);
  });

  it("ends the call, and so the program, when it is interrupted", async () => {
    const { promise: aborted, resolve } = Promise.withResolvers<void>();
    const interruption = new AbortController();
    const { pod } = await serve({
      execInHost: (_, signal) => {
        interruption.abort();
        return new Promise((_, reject) =>
          signal.addEventListener("abort", () => {
            resolve();
            reject(signal.reason);
          }),
        );
      },
    });
    expect(await run("exec web -- sleep 1000", [pod], { signal: interruption.signal })).toMatchObject({ code: 130 });
    await aborted;
  });
});

describe("records", () => {
  const later = { now: () => new Date(begin + 10_000_000) };

  it("are read from the shim, a part at a time", async () => {
    const { pod } = await serve({ state: sampleState(), lines: [...sampleLines()] });
    const { out, code } = await run("events web", [pod], later);
    expect(code).toBe(0);
    const lines = out.split("\n");
    expect(lines.slice(0, 4)).toEqual([
      "2026-11-29 (UTC)",
      "12:00:00.000  default/web: containerd-shim-lcow-v2 0.1.0, pid 4121 (serve)",
      "12:00:00.060  ▶ Sandbox/StartSandbox  request",
      "12:00:00.062    ▶ start VM  phase",
    ]);
    expect(out).toMatch(/^12:00:00\.530 {6}✔ wait for the guest to dial in {2}340 ms$/m);
    expect(out).toMatch(/✘ modify {2}290 ms {2}NotFound: the host does not find/);
    expect(
      (await run("events web --json", [pod], later)).out
        .trim()
        .split("\n")
        .map((line) => JSON.parse(line)),
    ).toEqual(sampleLines());
  });

  it("come from the file if the shim is gone, or does not answer", async () => {
    const { folder } = await serve();
    const record = path.join(folder, "web.jsonl");
    writeFileSync(
      record,
      sampleLines()
        .map((line) => `${JSON.stringify(line)}\n`)
        .join(""),
    );
    expect((await run("events web", [podAt(undefined, { record })])).out).toContain("start VM");
    const silent = await run("events web", [podAt("/nowhere", { record })]);
    expect(silent.out).toContain("start VM");
    expect(silent.err).toContain("default/web: this is its record, since no shim serves default/web any more");
    expect((await run(`timeline --record ${record}`, [], { userId: 1000 })).out).toContain("start VM");
    expect(await run("events web", [podAt(undefined)])).toMatchObject({ code: 1 });
  });

  it("say where lines are left out of them", async () => {
    const lines = new Lines();
    lines.header();
    for (let at = 1; at < 9; at++) lines.add(at, { type: "occurred", name: `number ${at}` });
    const { pod } = await serve({ state: sampleState(), lines: lines.all, lost: { from: 4, to: 7 } });
    expect((await run("events web", [pod], later)).out.split("\n").slice(3, 7)).toEqual([
      "12:00:00.002  ● number 2",
      "12:00:00.007  4 lines are not kept any more",
      "12:00:00.007  ● number 7",
      "12:00:00.008  ● number 8",
    ]);
  });

  it("are followed until the shim ends", async () => {
    const lines = new Lines();
    lines.header();
    const { pod, server } = await serve({ state: sampleState(), lines: lines.all });
    const shown = new PassThrough();
    const following = run("events web --follow", [pod], {
      streams: {
        stdin: new PassThrough(),
        stdout: shown,
        stderr: new PassThrough(),
      } as unknown as Surroundings["streams"],
    });
    shown.setEncoding("utf8");
    const seen = async (wanted: string): Promise<void> => {
      for await (const chunk of shown.iterator({ destroyOnReturn: false })) if (String(chunk).includes(wanted)) return;
    };
    await seen("default/web");
    server.add({ seq: 2, time: timeAt(10), type: "occurred", name: "guest dialled" });
    await seen("guest dialled");
    await server.close();
    expect((await following).code).toBe(0);
  });

  it("of the log are chosen by source and activity", async () => {
    const lines = new Lines();
    lines.header();
    lines.add(1, {
      type: "log",
      source: "shim",
      level: "info",
      message: "serving",
      fields: { socket: "/s", note: "two words" },
    });
    lines.add(2, { type: "log", source: "guest", level: "warn", message: hostile, activityId: "0A1B2c3d-x" });
    lines.add(3, { type: "log", source: "shim", level: "error", message: "failed", activityId: "ffff" });
    const { pod } = await serve({ state: sampleState(), lines: lines.all });
    expect((await run("logs web", [pod])).out).toBe(
      [
        '12:00:00.001 shim  info  serving socket=/s note="two words"',
        `12:00:00.002 guest warn  \\u{1b}[31m<script>alert("x")</script>\\u{202e}&amp;' activity=0A1B2c3d-x`,
        "12:00:00.003 shim  error failed activity=ffff",
        "",
      ].join("\n"),
    );
    expect((await run("logs web --guest", [pod])).out.split("\n")).toHaveLength(2);
    expect((await run("logs web --shim", [pod])).out.split("\n")).toHaveLength(3);
    expect((await run("logs web --activity 0a1b", [pod])).out).toContain("guest warn");
    expect(JSON.parse((await run("logs web --activity ffff --json", [pod])).out)).toMatchObject({ message: "failed" });
  });

  it("make a page", async () => {
    const { pod, folder } = await serve({ state: sampleState(), lines: [...sampleLines()] });
    const file = path.join(folder, "web.html");
    expect(await run(`timeline web --html ${file}`, [pod], later)).toEqual({
      code: 0,
      out: "",
      err: `wrote ${file}\n`,
    });
    expect(readFileSync(file, "utf8")).toBe((await run("timeline web --html -", [pod], later)).out);
    expect(await run(`timeline web --html ${folder}/no/web.html`, [pod])).toMatchObject({ code: 1, out: "" });
  });
});

describe("why", () => {
  it("says of a shim that hangs that it does, by one question and its record", async () => {
    let asked = 0;
    const { pod, folder } = await serve({ hangs: () => void asked++, state: sampleState() });
    const record = path.join(folder, "web.jsonl");
    const lines = new Lines();
    lines.header();
    writeFileSync(record, `${lines.all.map((line) => JSON.stringify(line)).join("\n")}\n`);
    const ran = await run("why web --timeout 0.05", [{ ...pod, record }]);
    expect(ran).toMatchObject({ code: 10, err: "" });
    expect(ran.out).toMatch(/^The shim of the pod \(pid 4121\) runs, and does not answer\. \[shim-silent\]$/m);
    expect(asked).toBe(1);
  });

  it("says nothing of a shim that it cannot ask", async () => {
    const { folder } = await serve();
    const record = path.join(folder, "web.jsonl");
    const lines = new Lines();
    lines.header();
    writeFileSync(record, `${lines.all.map((line) => JSON.stringify(line)).join("\n")}\n`);
    const ran = await run("why web", [podAt("/s", { isElsewhere: true, record })]);
    expect(ran).toMatchObject({ code: 0, out: "Nothing seems to be wrong with default/web.\n" });
    expect(ran.err).toMatch(
      /^default\/web: its record is all that is known, since the shim of default\/web is in another mount/,
    );
  });
});

describe("the tool", () => {
  it("needs root to look for pods", async () => {
    const { code, err } = await run("list", [], { userId: 1000 });
    expect(code).toBe(5);
    expect(err).toBe("uvm-diag: only root may look at pods (this user has the id 1000): try sudo uvm-diag list\n");
  });

  it("helps anybody", async () => {
    const { code, out } = await run("exec --help", [], { userId: 1000 });
    expect(code).toBe(0);
    expect(out).toContain("uvm-diag exec -it web -- /bin/sh");
    expect((await run("-v", [], { userId: 1000 })).out).toBe("uvm-diag 0.1.0\n");
  });

  it("counts operands in the words of the help", async () => {
    expect((await run("pid", [])).err).toBe("uvm-diag: pid: POD is missing: expected uvm-diag pid POD [--json]\n");
    expect((await run("share web /a", [podAt("/s")])).err).toContain("share: VMPATH is missing");
    expect((await run("list all", [])).err).toContain('list: there is no use for "all"');
    expect(await run("pid web --timeout never", [podAt("/s")])).toMatchObject({ code: 2 });
  });
});
