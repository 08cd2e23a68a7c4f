import { mkdirSync, mkdtempSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import type { ShimState } from "@uvm-shim/shim/state-file";
import { describe, expect, it } from "vitest";
import { DiagError } from "../errors.ts";
import { sampleLines } from "../testing/samples.ts";
import { findPods } from "./find.ts";
import { shimPipes } from "./pipes.ts";
import { linuxProcesses, type MachineProcess, servingShims } from "./processes.ts";
import { readRecord } from "./records.ts";
import { selectPod } from "./select.ts";

const flags = (id: string, socket = `/run/containerd/s/${id}`) => [
  "-namespace",
  "k8s.io",
  "-id",
  id,
  "-address",
  "/a",
  "-socket",
  socket,
];

function processOf(words: readonly string[], more: Partial<MachineProcess> = {}): MachineProcess {
  const user = process.getuid?.();
  return { pid: 10, user, arguments: words, workingFolder: undefined, isElsewhere: false, ...more };
}

describe("serving processes", () => {
  it.each([
    [
      "of the Linux distribution",
      ["/opt/uvm-shim/lib/node", "--max-semi-space-size=2", "/opt/uvm-shim/lib/shim-lcow.cjs", ...flags("a")],
      "lcow",
    ],
    ["with debugging", ["/opt/lib/node", "/opt/lib/shim-wcow.cjs", ...flags("a"), "-debug"], "wcow"],
    ["of one executable", [String.raw`C:\bin\containerd-shim-wcow-v2.exe`, ...flags("a")], "wcow"],
  ])("%s are found", (_, words, flavour) => {
    expect(servingShims([processOf(words, { workingFolder: "/bundle" })])).toEqual([
      {
        ...{
          namespace: "k8s.io",
          id: "a",
          socket: "/run/containerd/s/a",
          pid: 10,
          bundle: "/bundle",
          isElsewhere: false,
        },
        shim: `containerd-shim-${flavour}-v2`,
      },
    ]);
  });

  it("are found where `start` goes on to serve, by what it has written down", () => {
    const words = ["/opt/lib/node", "/opt/lib/shim-lcow.cjs", "-namespace", "k8s.io", "-id", "a", "start"];
    const state = {
      kind: "serving",
      namespace: "k8s.io",
      id: "a",
      socket: "/s/a",
      pid: 10,
      processStartTime: "1",
    } as const;
    const socketOf = (written: ShimState | undefined) =>
      servingShims([processOf(words, { workingFolder: "/bundle" })], process.getuid?.(), () => written)[0]?.socket;
    expect(socketOf(state)).toBe("/s/a");
    expect(socketOf(undefined)).toBeUndefined();
    // What an earlier process has left, and what is another pod's.
    expect(socketOf({ ...state, pid: 11 })).toBeUndefined();
    expect(socketOf({ ...state, id: "b" })).toBeUndefined();
    expect(socketOf({ ...state, kind: "ended" })).toBeUndefined();
  });

  it.each([
    ["the action start", ["/opt/containerd-shim-lcow-v2", "-namespace", "k8s.io", "-id", "a", "start"]],
    ["the shim of runc", ["/usr/bin/containerd-shim-runc-v2", ...flags("a")]],
    ["an editor", ["vi", "shim-lcow.cjs"]],
    ["a flag without its value", ["node", "shim-lcow.cjs", "-namespace", "k8s.io", "-id", "a", "-socket"]],
  ])("%s is none", (_, words) => expect(servingShims([processOf(words)])).toEqual([]));

  it("of another user are none: anybody can call a process like a shim", () => {
    const impostor = processOf(["lcow", ...flags("a", "/tmp/mine")], { user: 65534 });
    expect(servingShims([impostor], 0)).toEqual([]);
    expect(servingShims([{ ...impostor, user: undefined }], 0)).toEqual([]);
    expect(servingShims([{ ...impostor, user: 0 }], 0)).toHaveLength(1);
  });

  it("are looked for among the processes of the machine", () => {
    const own = linuxProcesses().find(({ pid }) => pid === process.pid);
    expect(own).toMatchObject({ user: process.getuid?.(), workingFolder: process.cwd(), isElsewhere: false });
    expect(own?.arguments.length).toBeGreaterThan(1);
  });
});

describe("pipes of Windows", () => {
  it("are those of shims, whoever's they are", () => {
    const prefix = String.raw`ProtectedPrefix\Administrators\containerd-shim-`;
    expect(shimPipes(() => [`${prefix}default-web-pipe`, "lsass", `${prefix}default-web-log`])).toEqual([
      {
        namespace: "",
        id: "default-web",
        socket: String.raw`\\.\pipe\ProtectedPrefix\Administrators\containerd-shim-default-web-pipe`,
      },
    ]);
  });
});

it("pipes of Windows that cannot be listed are unknown, not none", () => {
  const fail = (): never => {
    throw new Error("UNKNOWN: unknown error, scandir");
  };
  expect(shimPipes(fail)).toBeUndefined();
});

describe("the pods of a machine", () => {
  function machine() {
    const folder = mkdtempSync(path.join(tmpdir(), "pods-"));
    const bundle = (namespace: string, id: string, state: object): string => {
      const made = path.join(folder, "tasks", namespace, id);
      mkdirSync(made, { recursive: true });
      writeFileSync(path.join(made, "uvm-shim.json"), JSON.stringify({ id, namespace, ...state }));
      return made;
    };
    const record = (namespace: string, id: string, text: string): void => {
      mkdirSync(path.join(folder, "records", namespace), { recursive: true });
      writeFileSync(path.join(folder, "records", namespace, `${id}.jsonl`), text);
    };
    return { folder, bundle, record, env: { UVM_SHIM_RECORDS: path.join(folder, "records") } };
  }

  it("come from processes, bundles and records", () => {
    const { bundle, record, env } = machine();
    const serving = { kind: "serving", pid: 10, processStartTime: "1" };
    const live = bundle("k8s.io", "live", { ...serving, socket: "/s/live" });
    bundle("k8s.io", "app", { kind: "member", socket: "/s/live", sandboxId: "live" });
    const dead = bundle("default", "dead", { ...serving, socket: "/s/dead" });
    record("default", "dead", "");
    record("default", "old", "");
    const processes = () => [
      processOf(["node", "shim-lcow.cjs", ...flags("live", "/s/live")], { workingFolder: live }),
    ];
    expect(findPods({ env, platform: "linux", processes })).toEqual([
      expect.objectContaining({ namespace: "default", id: "dead", bundle: dead, socket: undefined, pid: undefined }),
      expect.objectContaining({ namespace: "default", id: "old", bundle: undefined, socket: undefined }),
      expect.objectContaining({ namespace: "k8s.io", id: "live", socket: "/s/live", pid: 10, members: ["app"] }),
    ]);
  });

  it("are served by a sandboxer where their bundle says so, for as long as that runs", () => {
    const { bundle, record, env } = machine();
    for (const [id, kind] of Object.entries({ own: "hosted", ended: "ended" })) {
      const state = { kind, pid: 10, processStartTime: "1", control: "/c", socket: `/s/${id}` };
      record("k8s.io", id, `${JSON.stringify({ ...sampleLines()[0], bundle: bundle("k8s.io", id, state) })}\n`);
    }
    const words = ["/opt/lib/node", "/opt/lib/shim-lcow.cjs", "-config", "/c.toml", "sandboxer"];
    const find = (sandboxer: Partial<MachineProcess>) =>
      findPods({ env, platform: "linux", processes: () => [processOf(words, sandboxer)] });
    const own = { id: "own", socket: "/s/own", pid: 10, isElsewhere: true, shim: "containerd-shim-lcow-v2" };
    const served = [{ id: "ended", socket: undefined, pid: undefined }, own];
    expect(find({ isElsewhere: true })).toEqual(served.map((pod) => expect.objectContaining(pod)));
    for (const other of [{ user: 65_534 }, { pid: 11 }]) {
      expect(find(other).map(({ socket }) => socket)).toEqual([undefined, undefined]);
    }
  });

  it("are named on Windows by the bundle whose shim serves the pipe, or else as the pipe is", () => {
    const folder = mkdtempSync(path.join(tmpdir(), "pods-"));
    const made = path.join(folder, "containerd", "state", "io.containerd.runtime.v2.task", "default", "web");
    mkdirSync(made, { recursive: true });
    const pipe = String.raw`\\.\pipe\ProtectedPrefix\Administrators\containerd-shim-default-web-1234-pipe`;
    const state = { kind: "serving", id: "web", namespace: "default", socket: pipe, pid: 1, processStartTime: "1" };
    writeFileSync(path.join(made, "uvm-shim.json"), JSON.stringify(state));
    const pipes = () => [pipe, pipe.replace("web", "other")].map((name) => name.slice("\\\\.\\pipe\\".length));
    // The test runs on Linux, where the folders of Windows are names with backslashes.
    const found = findPods({ env: { ProgramData: folder, UVM_SHIM_RECORDS: "none" }, platform: "win32", pipes });
    expect(found.map(({ namespace, id }) => `${namespace}/${id}`)).toContain("/default-other-1234");
    expect(found).toHaveLength(2);
  });
});

describe("a record", () => {
  it("is read without the half of a line that a killed shim leaves", () => {
    const file = path.join(mkdtempSync(path.join(tmpdir(), "record-")), "web.jsonl");
    const texts = sampleLines().map((line) => JSON.stringify(line));
    writeFileSync(file, `${texts.join("\n")}\n${texts[0]?.slice(0, 20)}`);
    expect(readRecord(file)).toHaveLength(texts.length);
  });

  it("is refused if it is something else, or not there", () => {
    const file = path.join(mkdtempSync(path.join(tmpdir(), "record-")), "web.jsonl");
    expect(() => readRecord(file)).toThrow(`cannot read the record ${file}: ENOENT`);
    writeFileSync(file, "hello\n");
    expect(() => readRecord(file)).toThrow(`${file} is no record of a pod`);
  });
});

describe("the name of a pod", () => {
  const pods = [
    { namespace: "default", id: "web", members: [] },
    { namespace: "default", id: "web-2", members: ["sidecar"] },
    { namespace: "k8s.io", id: "0a1b2c3d", members: ["f00", "f01"] },
    { namespace: "k8s.io", id: "0a1b9999", members: [] },
    { namespace: "other", id: "both", members: [] },
    { namespace: "default", id: "both", members: [] },
  ];

  it.each([
    ["web", "default/web"],
    ["default/web", "default/web"],
    ["web-", "default/web-2"],
    ["0a1b2", "k8s.io/0a1b2c3d"],
    ["k8s.io/0a1b9", "k8s.io/0a1b9999"],
    ["sidecar", "default/web-2"],
    ["f01", "k8s.io/0a1b2c3d"],
    ["side", "default/web-2"],
    ["other/both", "other/both"],
  ])("%s means %s", (wanted, name) => {
    const { namespace, id } = selectPod(pods, wanted);
    expect(`${namespace}/${id}`).toBe(name);
  });

  it.each([
    ["0a1b", '"0a1b" may be any of k8s.io/0a1b2c3d, k8s.io/0a1b9999: give more of the name'],
    ["both", '"both" may be any of other/both, default/both: give more of the name'],
    ["wbe", 'there is no pod "wbe"; there are default/web, default/web-2,'],
    ["wbe", "Did you mean web?"],
    ["nothing\u001b", 'there is no pod "nothing\\u{1b}"'],
  ])("%s is not enough", (wanted, message) => {
    expect(() => selectPod(pods, wanted)).toThrow(DiagError);
    expect(() => selectPod(pods, wanted)).toThrow(message);
  });

  it("is not nothing, even where there is only one", () => {
    expect(() => selectPod(pods.slice(0, 1), "")).toThrow("POD is empty");
  });

  it("is of no use without pods", () => {
    expect(() => selectPod([], "web")).toThrow("this machine has no pods of uvm-shim");
  });
});
