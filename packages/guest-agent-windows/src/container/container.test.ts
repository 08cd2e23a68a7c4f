import { createHash, randomBytes } from "node:crypto";
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import type { Readable } from "node:stream";
import { buffer, text } from "node:stream/consumers";
import { fileURLToPath } from "node:url";
import { describeWith } from "@uvm-shim/test-support/machine-needs";
import { afterAll, beforeAll, expect, it } from "vitest";
import { baseLayer } from "../base-layer/base-layer.ts";
import { compile, starterFolder, wineRoot } from "../wine.ts";
import { type ContainerProgram, WindowsContainer } from "./container.ts";
import { controlEvents, type WindowsProgram } from "./program.ts";

/** What moves the cursor of a terminal. */
const controlSequences = new RegExp(`${String.fromCharCode(27)}\\[[0-9;?]*[A-Za-z]`, "g");
const here = dirname(fileURLToPath(import.meta.url));

describeWith(
  "Linux on x64",
  "root",
  "ip",
  "x86_64-w64-mingw32-gcc",
  "Wine",
)("a Windows container", () => {
  let folder: string;
  let container: WindowsContainer;
  const folders = (name: string): { folder: string; scratch: string } => {
    const [work, scratch] = [join(folder, name), join(folder, `${name}-scratch`)];
    mkdirSync(work);
    mkdirSync(scratch);
    return { folder: work, scratch };
  };
  const start = async (name: string): Promise<WindowsContainer> => {
    const layers = [join(folder, "layer"), join(await baseLayer(), "Files")];
    const { folder: own, scratch } = folders(name);
    return await WindowsContainer.start({
      folder: own,
      wineRoot: wineRoot(),
      starterFolder: await starterFolder(),
      drive: { kind: "layers", layers, scratch },
      userName: "ContainerAdministrator",
      hostName: name,
    });
  };
  beforeAll(async () => {
    folder = mkdtempSync(join(tmpdir(), "windows-container-"));
    mkdirSync(join(folder, "layer"));
    await compile(join(folder, "layer", "probe.exe"), [join(here, "..", "testing", "probe.c"), "-municode"]);
    container = await start("first-host");
  }, 120_000);
  afterAll(async () => {
    await container.end();
    rmSync(folder, { recursive: true });
  });

  const run = (commandLine: string, more: Partial<ContainerProgram> = {}): Promise<WindowsProgram> =>
    container.run({
      commandLine,
      workingDirectory: "C:\\",
      environment: {},
      hasInput: false,
      hasOutput: true,
      hasError: true,
      console: undefined,
      ...more,
    });
  const finished = async (program: WindowsProgram): Promise<{ code: number; output: string; errors: string }> => {
    const [code, output, errors] = await Promise.all([program.exited, text(program.stdout), text(program.stderr)]);
    program.release();
    return { code, output, errors };
  };

  it("has its names, its user, its folder and one drive, and gets the command line as it is", async () => {
    const line = `C:\\probe.exe  see "a  b\\" 'c\\\\ ^%x%`;
    const environment = { "": "nameless", VARIABLE: "one two" };
    const program = await run(line, { workingDirectory: "C:\\windows", environment, userName: "ContainerUser" });
    const { code, output } = await finished(program);
    expect(output.split("\r\n")).toEqual([
      `line=${line}`,
      "user=ContainerUser",
      "computer=FIRST-HOST FIRST-HOST",
      "folder=C:\\windows",
      "variable=one two",
      "drives=4",
      "",
    ]);
    expect(code).toBe(0);
  });

  it.each([0, 1, 42, 255, 256, 0xc000013a, 0xffffffff])("ends with all 32 bits of exit code %i", async (code) => {
    const program = await run(`C:\\probe.exe exit ${code.toString(16)}`);
    expect((await finished(program)).code).toBe(code);
  });

  it.each([
    ["a program that is not there", "absent.exe", "C:\\", 2],
    ["a folder that is not there", "C:\\probe.exe exit 0", "C:\\absent", 267],
    ["a file that is no program", "C:\\windows\\win.ini", "C:\\", 193],
  ])("says by Windows' number that it cannot start with %s", async (_, line, workingDirectory, number) => {
    await expect(run(line, { workingDirectory })).rejects.toMatchObject({ name: "WindowsError", number });
  });

  it("copies 8 MiB each way, and sees the end of the input", async () => {
    const bytes = randomBytes(8 * 1024 * 1024);
    const program = await run("C:\\probe.exe copy", { hasInput: true });
    program.stdin.end(bytes);
    const [copied, code] = await Promise.all([buffer(program.stdout), program.exited]);
    program.release();
    expect(digest(copied)).toBe(digest(bytes));
    expect(code).toBe(0);
  });

  it("loses nothing of what programs write last", async () => {
    const line = "cmd.exe /c echo one& echo two>&2& exit 42";
    const rounds = await Promise.all(Array.from({ length: 12 }, async () => await finished(await run(line))));
    expect(rounds).toEqual(Array(12).fill({ code: 42, output: "one\r\n", errors: "two\r\n" }));
  });

  it.each(Object.entries(controlEvents))("raises %s in a program that handles it", async (name, number) => {
    const program = await run("C:\\probe.exe handle");
    await says(program.stdout, /ready/);
    await program.raise(name as keyof typeof controlEvents);
    expect(await says(program.stdout, /event \d/)).toContain(`event ${number}`);
    const survives = number < controlEvents.CtrlClose;
    if (survives) await program.terminate();
    expect(await program.exited).toBe(survives ? 1 : 0xc000013a);
    program.release();
  });

  it.each(["CtrlC", "CtrlBreak"] as const)("ends with 0xC000013A by a %s that it does not handle", async (event) => {
    const program = await run("C:\\probe.exe wait");
    await says(program.stdout, /ready/);
    await program.raise(event);
    expect(await program.exited).toBe(0xc000013a);
    program.release();
  });

  it("has a console with a size, which can change", async () => {
    const console = { width: 100, height: 30 };
    const program = await run("C:\\probe.exe sizes", { hasInput: true, console });
    await says(program.stdout, /size=100x30/);
    await program.resize(120, 40);
    program.stdin.write("\r");
    await says(program.stdout, /size=120x40/);
    program.stdin.write("\x1a\r");
    expect(await program.exited).toBe(0);
    program.release();
  });

  it("keeps files and registry to itself", async () => {
    const other = await start("second-host");
    try {
      const change = 'cmd /c "echo mine>C:\\mine.txt&& reg add HKLM\\Software\\Mine /v Value /d one /f"';
      expect((await finished(await run(change))).code).toBe(0);
      expect(readFileSync(join(folder, "first-host-scratch", "upper", "mine.txt"), "latin1")).toBe("mine\r\n");
      const query = "reg query HKLM\\Software\\Mine";
      expect((await finished(await run(query))).code).toBe(0);
      const there = await other.run({ ...asked(query), hasOutput: false });
      expect(await there.exited).toBe(1);
      there.release();
      expect(existsSync(join(folder, "second-host-scratch", "upper", "mine.txt"))).toBe(false);
      expect(existsSync(join(folder, "layer", "mine.txt"))).toBe(false);
    } finally {
      await other.end();
    }
  });

  it("ends what runs in it when it ends", async () => {
    const ending = await start("third-host");
    const program = await ending.run(asked("C:\\probe.exe wait"));
    await says(program.stdout, /ready/);
    await ending.end();
    await expect(program.exited).rejects.toThrow("the container has ended, or Wine in it");
  });
});

function asked(commandLine: string): ContainerProgram {
  const streams = { hasInput: false, hasOutput: true, hasError: false, console: undefined };
  return { commandLine, workingDirectory: "C:\\", environment: {}, ...streams };
}

function digest(bytes: Buffer): string {
  return createHash("sha256").update(bytes).digest("hex");
}

/** What a program writes until it matches; the rest stays to be read. */
function says(stream: Readable, pattern: RegExp): Promise<string> {
  const { promise, resolve, reject } = Promise.withResolvers<string>();
  let said = "";
  const onData = (chunk: Buffer): void => {
    said += chunk.toString("latin1");
    if (!pattern.test(said.replaceAll(controlSequences, ""))) return;
    stream.off("data", onData).off("end", onEnd).pause();
    resolve(said.replaceAll(controlSequences, ""));
  };
  const onEnd = (): void => reject(new Error(`the output ended with ${JSON.stringify(said)}: expected ${pattern}`));
  stream.on("data", onData).once("end", onEnd).resume();
  return promise;
}
