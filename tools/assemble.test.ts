import { spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describeWith } from "@uvm-shim/test-support/machine-needs";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { encodeDeleteAnswer, leaveDeleteAnswer } from "../packages/shim/src/program/delete-answer.ts";
import { servingOptions } from "../packages/shim/src/program/executable.ts";
import { fewestDescriptors, launcher, printingLines, runtimesOwnVariables } from "./assemble.ts";

const NAME = "containerd-shim-x-v2";

describeWith("Linux")("the launcher", () => {
  let directory: string;
  const put = (path: string, text: string): void => {
    mkdirSync(join(directory, path, ".."), { recursive: true });
    writeFileSync(join(directory, path), text);
    chmodSync(join(directory, path), 0o755);
  };
  const run = (path: string) =>
    spawnSync(join(directory, path), ["-v"], {
      encoding: "utf8",
      env: { PATH: `${join(directory, "path")}:/usr/bin:/bin` },
    });

  beforeEach(() => {
    directory = mkdtempSync(join(tmpdir(), "launcher-"));
    put(`installed/${NAME}`, launcher(NAME, "x"));
    put("installed/lib/node", '#!/bin/sh\necho "$0" "$@"\n');
    put(`alone/${NAME}`, launcher(NAME, "x"));
    mkdirSync(join(directory, "path"));
  });
  afterEach(() => rmSync(directory, { recursive: true }));

  it("finds the installed runtime by name when it was copied alone", () => {
    symlinkSync(join(directory, "installed", NAME), join(directory, "path", NAME));
    const lib = join(directory, "installed", "lib");
    expect(run(`alone/${NAME}`)).toMatchObject({
      status: 0,
      stdout: `${lib}/node --disable-sigusr1 ${lib}/x.cjs -v\n`,
    });
  });

  it("keeps the young generation of a sandboxer small, and has no option of the runtime from the environment", () => {
    const started = (...args: readonly string[]): string =>
      spawnSync(join(directory, "installed", NAME), args, {
        encoding: "utf8",
        env: { PATH: "/usr/bin:/bin", young: "--inspect" },
      }).stdout;
    const start = `${join(directory, "installed", "lib")}/node --disable-sigusr1`;
    const script = join(directory, "installed", "lib", "x.cjs");
    expect(started("-debug", "sandboxer")).toBe(`${start} --max-semi-space-size=1 ${script} -debug sandboxer\n`);
    expect(started("-id", "sandboxer", "start")).toBe(`${start} ${script} -id sandboxer start\n`);
  });

  it("has the C library give freed memory back, whatever the environment says", () => {
    put("printing/lib/node", '#!/bin/sh\necho "$MALLOC_TRIM_THRESHOLD_"\n');
    put(`printing/${NAME}`, launcher(NAME, "x"));
    const env = { PATH: "/usr/bin:/bin", MALLOC_TRIM_THRESHOLD_: "-1" };
    expect(spawnSync(join(directory, "printing", NAME), ["-v"], { encoding: "utf8", env }).stdout).toBe("131072\n");
  });

  it("bounds the memory of the emulated host as that of a sandboxer", () => {
    put("printing/lib/node", '#!/bin/sh\necho "$MALLOC_TRIM_THRESHOLD_" "$@"\n');
    put("printing/hcs-emulator", launcher("hcs-emulator", "x"));
    const env = { PATH: "/usr/bin:/bin" };
    const { stdout } = spawnSync(join(directory, "printing", "hcs-emulator"), [], { encoding: "utf8", env });
    const script = join(directory, "printing", "lib", "x.cjs");
    expect(stdout).toBe(`131072 --disable-sigusr1 --max-semi-space-size=1 ${script}\n`);
  });

  it("reports what is missing when no runtime is beside it or in PATH", () => {
    expect(run(`alone/${NAME}`)).toMatchObject({
      status: 127,
      stderr: `${join(directory, "alone", NAME)}: no lib/node beside it, nor beside a ${NAME} in PATH: install the whole folder\n`,
    });
  });

  it("prefers the runtime beside it", () => {
    symlinkSync(join(directory, "alone", NAME), join(directory, "path", NAME));
    expect(run(`installed/${NAME}`).stdout).toContain(join(directory, "installed", "lib", "x.cjs"));
  });

  it("says what is missing, and how to get it, when the runtime cannot start for want of its library", () => {
    const said = "node: error while loading shared libraries: libatomic.so.1: cannot open shared object file";
    put(`installed/${NAME}`, launcher(NAME, "x", ["/nowhere"]));
    put("installed/lib/node", `#!/bin/sh\necho "${said}" >&2\nexit 127\n`);
    expect(run(`installed/${NAME}`)).toMatchObject({
      status: 127,
      stdout: "",
      stderr: `${join(directory, "installed", NAME)}: the runtime does not start: ${said} (to get libatomic.so.1: apt-get install libatomic1, dnf install libatomic)\n`,
    });
  });

  it("starts a runtime whose library is in none of the usual folders", () => {
    put(`installed/${NAME}`, launcher(NAME, "x", ["/nowhere"]));
    expect(run(`installed/${NAME}`)).toMatchObject({ status: 0, stderr: "" });
  });

  it("runs nothing but the runtime where the library is in a usual folder", () => {
    mkdirSync(join(directory, "libraries"));
    writeFileSync(join(directory, "libraries", "libatomic.so.1"), "");
    put(`installed/${NAME}`, launcher(NAME, "x", ["/nowhere", join(directory, "libraries")]));
    put("installed/lib/node", `#!/bin/sh\necho run >> ${join(directory, "runs")}\n`);
    expect(run(`installed/${NAME}`)).toMatchObject({ status: 0 });
    expect(readFileSync(join(directory, "runs"), "utf8")).toBe("run\n");
  });

  describe("with an answer made ahead", () => {
    const answer = Buffer.from([...Array(256).keys(), ...Buffer.from("100%d \\n 'quoted' é")]);
    const ask = (...args: readonly string[]) =>
      spawnSync(join(directory, "installed", NAME), args, { input: "a request", env: { PATH: "/usr/bin:/bin" } });
    beforeEach(() => put("installed/lib/x.info", printingLines(answer)));

    it("gives it for -info, byte by byte, without the runtime", () => {
      put("installed/lib/node", "#!/bin/sh\nexit 3\n");
      const { status, stdout, stderr } = ask("-info");
      expect({ status, stdout: [...stdout], stderr: `${stderr}` }).toEqual({
        ...{ status: 0, stdout: [...answer], stderr: "" },
      });
    });

    it.each([[["-v"]], [["-info", "-v"]], [["-namespace", "-info"]]])("runs the program for %j", (args) => {
      expect(`${ask(...args).stdout}`).toContain(`lib/x.cjs ${args.join(" ")}\n`);
    });

    it("runs the program if the file is absent", () => {
      rmSync(join(directory, "installed/lib/x.info"));
      expect(`${ask("-info").stdout}`).toContain("lib/x.cjs -info\n");
    });
  });

  describe("of a pod that has ended in order", () => {
    const now = new Date("2026-11-29T21:00:00.123Z");
    const runtime = `lib/x.cjs`;
    const deletion = (args: readonly string[], cwd = directory) =>
      spawnSync(join(directory, "installed", NAME), [...args, "delete"], { cwd, env: { PATH: "/usr/bin:/bin" } });
    const bundleOf = (id: string): string => join(directory, `bundle of ${id}`);
    beforeEach(() => {
      mkdirSync(bundleOf("c1"));
      leaveDeleteAnswer(bundleOf("c1"), "c1", now);
    });

    it("gives the answer to delete that the pod left in its bundle", () => {
      const expected = { status: 0, stdout: encodeDeleteAnswer(now), stderr: Buffer.alloc(0) };
      const flags = ["-namespace", "ns", "-address", "/a", "-publish-binary", "", "-id", "c1"];
      expect(deletion([...flags, "-bundle", bundleOf("c1")])).toMatchObject(expected);
      expect(deletion(flags, bundleOf("c1"))).toMatchObject(expected);
      expect(deletion([...flags, "-bundle", "", "-debug"], bundleOf("c1"))).toMatchObject(expected);
    });

    it.each([
      ["another id", ["-id", "c2", "-bundle", "bundle of c1"]],
      ["no id", ["-bundle", "bundle of c1"]],
      ["a bundle without one", ["-id", "c1", "-bundle", "."]],
    ])("runs the program for %s", (_, args) => {
      expect(`${deletion(args).stdout}`).toContain(`${runtime} ${args.join(" ")} delete\n`);
    });

    it("runs the program for other actions", () => {
      const { stdout } = spawnSync(join(directory, "installed", NAME), [
        "-id",
        "c1",
        "-bundle",
        bundleOf("c1"),
        "start",
      ]);
      expect(`${stdout}`).toContain(runtime);
    });
  });

  it("knows every variable that the runtime reads", () => {
    const runtime = readFileSync(process.execPath, "latin1");
    const read = new Set(Array.from(runtime.matchAll(/process\.env\.NODE_([A-Z0-9_]+)/g), ([, name = ""]) => name));
    const documented = ["EXTRA_CA_CERTS", "OPTIONS", "PATH", "REDIRECT_WARNINGS", "V8_COVERAGE"];
    expect(read.size).toBeGreaterThan(10);
    expect([...read, ...documented].filter((name) => !runtimesOwnVariables.includes(name))).toEqual([]);
  });

  describe("with a runtime", () => {
    const program = (text: string): string => {
      rmSync(join(directory, "installed/lib/node"));
      symlinkSync(process.execPath, join(directory, "installed/lib/node"));
      put("installed/lib/x.cjs", text);
      return join(directory, "installed", NAME);
    };

    it("starts it so that no signal opens a debugger port", async () => {
      const child = spawn(program('setInterval(() => {}, 1000); console.log("runs");'), {
        stdio: ["ignore", "pipe", "inherit"],
      });
      try {
        await once(child.stdout, "data");
        child.kill("SIGUSR1");
        const sigusr1 = 1n << 9n;
        // Where every thread blocks it, it stays pending for good: none is there that could take it.
        for (const thread of readdirSync(`/proc/${child.pid}/task`)) {
          const status = readFileSync(`/proc/${child.pid}/task/${thread}/status`, "utf8");
          const mask = (name: string): bigint =>
            BigInt(`0x${new RegExp(`^${name}:\\s+(\\w+)$`, "m").exec(status)?.[1]}`) & sigusr1;
          expect({ thread, blocked: mask("SigBlk"), caught: mask("SigCgt"), pending: mask("ShdPnd") }).toEqual({
            ...{ thread, blocked: sigusr1, caught: 0n, pending: sigusr1 },
          });
        }
      } finally {
        child.kill("SIGKILL");
      }
    });

    it.each([4, 5, 9, 10, 11, 16, 20, 21, fewestDescriptors - 1])(
      "reports the problem if only %i descriptors may be open, and writes no reply",
      (most) => {
        const path = program('console.log("runs");');
        const { status, stdout, stderr } = spawnSync("/bin/sh", ["-c", `ulimit -n ${most}; exec ${path} start`], {
          encoding: "utf8",
          env: { PATH: "/usr/bin:/bin" },
        });
        expect({ status, stdout }).toEqual({ status: 2, stdout: "" });
        expect(stderr).toMatch(new RegExp(`^${path}: .*ulimit -n is below the ${fewestDescriptors} needed\n$`, "m"));
      },
    );

    it("runs with the minimum number of descriptors, and passes its arguments on", () => {
      const path = program("console.log(JSON.stringify(process.argv.slice(2)));");
      const command = ["-c", `ulimit -n ${fewestDescriptors}; exec ${path} "a b" '*' ''`];
      const { status, stdout, stderr } = spawnSync("/bin/sh", command, {
        encoding: "utf8",
        env: { PATH: "/usr/bin:/bin" },
      });
      expect({ status, stdout, stderr }).toEqual({ status: 0, stdout: '["a b","*",""]\n', stderr: "" });
    });

    it("starts it without core files, and leaves its children free to enable them", () => {
      const path = program('console.log(require("node:fs").readFileSync("/proc/self/limits", "utf8"));');
      const limit = spawnSync("/bin/sh", ["-c", `ulimit -Sc unlimited; exec ${path}`], {
        encoding: "utf8",
        env: { PATH: "/usr/bin:/bin" },
      });
      expect(limit.stdout).toMatch(/^Max core file size +0 +unlimited +bytes/m);
    });

    describe("that answers start and goes on", () => {
      const start = (text: string, bundle: string, input = "") => {
        const path = program(`const fs = require("node:fs"); ${text}`);
        return spawnSync(path, ["-id", "c1", "-bundle", bundle, "start"], {
          ...{ encoding: "utf8", input, env: { PATH: "/usr/bin:/bin" } },
        });
      };
      let bundle: string;
      beforeEach(() => {
        bundle = join(directory, "a bundle");
        mkdirSync(bundle);
        symlinkSync("/nowhere", join(bundle, "work"));
      });

      it("waits for no more than the answer, which it gives with the exit code", () => {
        const { status, stdout, stderr } = start(
          `const input = fs.readFileSync(0, "utf8");
          fs.writeSync(3, "reply to " + input); fs.writeSync(4, "error"); fs.writeSync(5, "3");
          for (const descriptor of [3, 4, 5]) fs.closeSync(descriptor);
          console.log("panic");
          fs.writeFileSync(${JSON.stringify(join(directory, "pid"))}, String(process.pid));
          setInterval(() => {}, 1000);`,
          bundle,
          "a request",
        );
        expect({ status, stdout, stderr }).toEqual({ status: 3, stdout: "reply to a request", stderr: "error" });
        // It is written after the answer.
        const file = join(directory, "pid");
        const written = (): string => (existsSync(file) ? readFileSync(file, "utf8") : "");
        while (written() === "");
        process.kill(Number(written()), "SIGKILL");
        expect(readFileSync(join(bundle, "panic.log"), "utf8")).toBe("panic\n");
      });

      it("starts it with the options of a process that serves, and tells it that it waits", () => {
        const said = "JSON.stringify([process.execArgv, process.env.UVM_SHIM_LAUNCHER_WAITS, process.argv.slice(2)])";
        const { stdout } = start(`fs.writeSync(3, ${said}); fs.writeSync(5, "0");`, bundle);
        expect(JSON.parse(stdout)).toEqual([[...servingOptions], "1", ["-id", "c1", "-bundle", bundle, "start"]]);
      });

      it("fails with what it has written if it ends without an answer", () => {
        const { status, stdout, stderr } = start('console.error("the disk is on fire"); process.exit(7);', bundle);
        const sentence = "the serving process ended before it accepted connections";
        const path = join(directory, "installed", NAME);
        expect({ status, stdout, stderr }).toEqual({
          ...{ status: 1, stdout: "", stderr: `${path}: ${sentence}\nthe disk is on fire\n` },
        });
      });

      it("leaves a folder alone that is no bundle", () => {
        const other = join(directory, "other");
        mkdirSync(other);
        const { status, stdout } = start("console.log(process.env.UVM_SHIM_LAUNCHER_WAITS); process.exit(4);", other);
        expect({ status, stdout, files: readdirSync(other) }).toEqual({ status: 4, stdout: "undefined\n", files: [] });
      });
    });

    it("has a first line short enough for every kernel", () => {
      expect(launcher(NAME, "x").split("\n")[0]?.length).toBeLessThan(127);
    });

    it.each([
      ["ulimit -Sn 123", "123"],
      ["ulimit -n 123", "undefined"],
    ])("passes on the descriptor limit for its child programs, after %s: %s", (limit, told) => {
      const command = [limit, `exec ${program("console.log(process.env.UVM_SHIM_OPEN_FILES)")}`].join("; ");
      const { stdout, stderr } = spawnSync("/bin/sh", ["-c", command], {
        encoding: "utf8",
        env: { PATH: "/usr/bin:/bin", UVM_SHIM_OPEN_FILES: "7" },
      });
      expect({ stdout, stderr }).toEqual({ stdout: `${told}\n`, stderr: "" });
    });

    it("removes environment variables meant for other Node programs, and passes on all others", () => {
      const names =
        "JSON.stringify(Object.keys(process.env).filter((name) => /^(NODE|OPENSSL|KEPT|PATH)/.test(name)).sort())";
      const { status, stdout, stderr } = spawnSync(program(`console.log(${names})`), ["a b", "*"], {
        encoding: "utf8",
        env: {
          ...{
            PATH: "/usr/bin:/bin",
            NODE_OPTIONS: "--require /nowhere",
            NODE_V8_COVERAGE: join(directory, "cover age *"),
          },
          ...{
            NODE_REDIRECT_WARNINGS: "/nowhere",
            OPENSSL_CONF: "/nowhere",
            KEPT: "a\nNODE_PATH=b $(exit 3) `exit 4`",
          },
        },
      });
      expect({ status, stdout, stderr }).toEqual({ status: 0, stdout: '["KEPT","PATH"]\n', stderr: "" });
      expect(readdirSync(directory).toSorted()).toEqual(["alone", "installed", "path"]);
    });
  });
});
