import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, it } from "vitest";
import { describeWith } from "./machine-needs.ts";
import { deadRunFolders, makeRunFolder, removeRunFolder } from "./run-folders.ts";

const prefix = "run-";
const module = import.meta.resolve("./run-folders.ts");

describeWith("Linux")("folders of runs", () => {
  let parent: string;
  const started: ChildProcess[] = [];

  beforeEach(() => {
    parent = mkdtempSync(join(tmpdir(), "runs-"));
  });
  afterEach(async () => {
    for (const child of started.splice(0)) await end(child, "SIGKILL");
    rmSync(parent, { recursive: true });
  });

  /** A process that makes a folder with something in it and goes on. */
  async function run(
    make: "makeRunFolder" | "useRunFolder",
    body = "",
  ): Promise<{ readonly child: ChildProcess; readonly folder: string }> {
    const program = `
      import { mkdirSync } from "node:fs";
      import { makeRunFolder, useRunFolder } from ${JSON.stringify(module)};
      const folder = ${make}(${JSON.stringify(prefix)});
      mkdirSync(folder + "/a/b", { recursive: true });
      ${body}
      setInterval(() => {}, 1_000_000);
      console.log(folder);`;
    const child = spawn(process.execPath, ["--input-type=module", "--eval", program], {
      stdio: ["ignore", "pipe", "inherit"],
      env: { ...process.env, TMPDIR: parent },
    });
    started.push(child);
    const [said] = await once(child.stdout, "data");
    return { child, folder: String(said).trim() };
  }

  async function end(child: ChildProcess, signal: NodeJS.Signals): Promise<void> {
    if (child.exitCode !== null || child.signalCode !== null) return;
    const ended = once(child, "exit");
    child.kill(signal);
    await ended;
  }

  it("are removed by the next run if their run was killed, and only then", async () => {
    const [killed, alive] = [await run("makeRunFolder"), await run("makeRunFolder")];
    expect(deadRunFolders(prefix, parent)).toEqual([]);
    await end(killed.child, "SIGKILL");
    expect(deadRunFolders(prefix, parent)).toEqual([killed.folder]);
    const own = makeRunFolder(prefix, parent);
    expect(
      readdirSync(parent)
        .map((name) => join(parent, name))
        .sort(),
    ).toEqual([alive.folder, own].sort());
    expect(existsSync(join(alive.folder, "a", "b"))).toBe(true);
  });

  it.each(["SIGHUP", "SIGINT", "SIGTERM"] as const)("are removed by the run itself at %s", async (signal) => {
    const { child, folder } = await run("useRunFolder");
    await end(child, signal);
    expect([child.exitCode, existsSync(folder)]).toEqual([{ SIGHUP: 129, SIGINT: 130, SIGTERM: 143 }[signal], false]);
  });

  it("are left to a run that handles the signal itself, until it ends", async () => {
    const { child, folder } = await run("useRunFolder", 'process.on("SIGTERM", () => process.exit(7));');
    await end(child, "SIGTERM");
    expect([child.exitCode, existsSync(folder)]).toEqual([7, false]);
  });

  it("count as dead even when another process has reused the pid", () => {
    const own = makeRunFolder(prefix, parent);
    const [namespace, pid, startTime] = readFileSync(join(own, ".owner"), "utf8").split(" ");
    const left = makeRunFolder(prefix, parent);
    writeFileSync(join(left, ".owner"), `${namespace} ${pid} ${Number(startTime) - 1}`);
    expect(deadRunFolders(prefix, parent)).toEqual([left]);
  });

  it("do not count as dead without an owner, or if the owner's PID namespace is another", () => {
    mkdirSync(join(parent, `${prefix}of-something-else`));
    const elsewhere = makeRunFolder(prefix, parent);
    writeFileSync(join(elsewhere, ".owner"), "pid:[1] 1 1");
    expect(deadRunFolders(prefix, parent)).toEqual([]);
  });
});

describeWith("root")("a folder of a run with a mount in it", () => {
  it("is left in place, since removing it would empty what is mounted", async () => {
    const parent = mkdtempSync(join(tmpdir(), "runs-"));
    const kept = join(parent, "kept");
    const folder = makeRunFolder(prefix, parent);
    const point = join(folder, "with space");
    for (const path of [kept, point]) mkdirSync(path);
    writeFileSync(join(kept, "file"), "");
    try {
      await command("mount", "--bind", kept, point);
      expect(removeRunFolder(folder)).toBe(false);
      expect(readdirSync(kept)).toEqual(["file"]);
    } finally {
      await command("umount", point);
    }
    expect(removeRunFolder(folder)).toBe(true);
    rmSync(parent, { recursive: true });
  });

  async function command(name: string, ...args: string[]): Promise<void> {
    const [code] = await once(spawn(name, args, { stdio: "inherit" }), "exit");
    expect(code).toBe(0);
  }
});
