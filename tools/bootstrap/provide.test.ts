import { existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import type { Ended, Machine } from "./machine.mjs";
import { type Manager, type Need, needs } from "./needs.mjs";
import { describeGetting, provide } from "./provide.mjs";

const lacking = [needs.atomic, needs.ociRuntime];

let cache: string;
beforeEach(() => {
  cache = mkdtempSync(join(tmpdir(), "provide-"));
});
afterEach(() => rmSync(cache, { recursive: true }));

/** A machine on which a program's answers are scripted, and which has what was installed or unpacked. */
class FakeMachine implements Machine {
  readonly isRoot: boolean;
  readonly manager: Manager | undefined;
  readonly cache = cache;
  readonly system: string;
  readonly runs: string[] = [];
  readonly environments: Readonly<Record<string, string>>[] = [];
  readonly #answer: (line: string) => Partial<Ended>;
  readonly #packages = new Set<string>();

  constructor(parts: {
    isRoot: boolean;
    manager?: Manager;
    system?: string;
    answer?: (line: string) => Partial<Ended> | undefined;
  }) {
    this.isRoot = parts.isRoot;
    this.system = parts.system ?? "debian 12 x64";
    this.manager = parts.manager;
    this.#answer = (line) => parts.answer?.(line) ?? {};
  }

  has({ packages }: Need, below?: string): boolean {
    const name = packages[this.manager ?? "apt"] ?? "";
    return below === undefined ? this.#packages.has(name) : existsSync(join(below, "usr", name));
  }

  async run(
    command: string,
    args: readonly string[],
    environment: Readonly<Record<string, string>> = {},
  ): Promise<Ended> {
    const line = [command, ...args].join(" ");
    this.runs.push(line);
    this.environments.push(environment);
    const ended = { status: 0, output: "", ...this.#answer(line) };
    if (ended.status === 0) this.#obey(line, args);
    return ended;
  }

  #obey(line: string, args: readonly string[]): void {
    if (line.includes("--download-only")) {
      const folder = args.find((arg) => arg.startsWith("Dir::Cache="))?.slice("Dir::Cache=".length) as string;
      for (const name of ["crun", "libatomic1"]) writeFileSync(join(folder, "archives", `${name}_1_amd64.deb`), "");
    } else if (line.startsWith("dpkg-deb")) {
      const [, archive, files] = args as [string, string, string];
      const name = /(\w+)_1_amd64\.deb$/.exec(archive)?.[1] as string;
      const folder = name === "crun" ? join(files, "usr") : join(files, "lib");
      mkdirSync(folder, { recursive: true });
      writeFileSync(join(folder, name), "");
      // The machine's links lead from /lib to /usr/lib, where the fake looks for everything in /usr.
      if (name === "libatomic1") {
        mkdirSync(join(files, "usr"), { recursive: true });
        writeFileSync(join(files, "usr", name), "");
      }
    } else if (/ (install|add) /.test(line)) for (const word of args) this.#packages.add(word);
  }
}

describe("by a package manager, as root", () => {
  it.each([
    ["apt", "apt-get install -y -q --no-install-recommends -o DPkg::Lock::Timeout=60 crun libatomic1"],
    ["dnf", "dnf install -y --setopt=install_weak_deps=False crun libatomic"],
    ["apk", "apk add --no-cache crun libatomic"],
    ["zypper", "zypper --non-interactive install --no-recommends libatomic1 runc"],
  ] as const)("what is lacking is installed: %s", async (manager, line) => {
    const machine = new FakeMachine({ isRoot: true, manager });
    expect(await provide(lacking, machine)).toEqual({ lacking: [] });
    expect(machine.runs).toEqual([line]);
    expect(machine.environments[0]).toEqual({ DEBIAN_FRONTEND: "noninteractive" });
  });

  it("lists of packages are renewed where the first attempt fails", async () => {
    let updated = false;
    const machine = new FakeMachine({
      isRoot: true,
      manager: "apt",
      answer: (line) => {
        if (line.startsWith("apt-get update")) updated = true;
        return updated ? { output: "Need to get 315 kB of archives.\n" } : { status: 100 };
      },
    });
    expect(await provide(lacking, machine)).toEqual({ lacking: [], size: "315 kB" });
    expect(machine.runs.map((line) => line.split(" ")[1])).toEqual(["install", "update", "install"]);
  });

  it("what a package did not bring is still lacking", async () => {
    const machine = new FakeMachine({ isRoot: true, manager: "zypper" });
    expect(await provide([...lacking, needs.plugins], machine)).toEqual({ lacking: [needs.plugins] });
  });

  it.each(["dnf", "apk", "zypper"] as const)("a failure of %s is told in its last words", async (manager) => {
    const machine = new FakeMachine({
      isRoot: true,
      manager,
      answer: () => ({ status: 1, output: "one\nno mirror\n\n" }),
    });
    const command = { dnf: "dnf", apk: "apk", zypper: "zypper" }[manager];
    expect(await provide(lacking, machine)).toEqual({ lacking, why: `${command} failed: no mirror` });
  });
});

describe("into the cache", () => {
  const trees = (): string[] => readdirSync(join(cache, "tools"));

  it("Debian's packages are unpacked without root, below usr, with lists of their own", async () => {
    const machine = new FakeMachine({ isRoot: false, manager: "apt" });
    const provided = await provide(lacking, machine);
    expect(provided).toEqual({
      lacking: [],
      why: "without root it cannot install packages",
      tree: join(cache, "tools", trees()[0] as string),
    });
    expect(trees()).toHaveLength(1);
    expect(readdirSync(join(provided.tree as string, "usr")).sort()).toEqual(["crun", "lib", "libatomic1"]);
    expect(readdirSync(provided.tree as string)).toEqual(["usr"]);
    expect(machine.runs.filter((line) => line.startsWith("apt-get"))).toEqual([
      expect.stringMatching(/^apt-get -o Dir::State::Lists=\S+ .*update -q$/),
      expect.stringMatching(/--download-only -y -q --no-install-recommends crun libatomic1$/),
    ]);
  });

  it("they are taken as they are the next time", async () => {
    const first = await provide(lacking, new FakeMachine({ isRoot: false, manager: "apt" }));
    const later = new FakeMachine({ isRoot: false, manager: "apt" });
    expect(await provide(lacking, later)).toEqual({ lacking: [], tree: first.tree });
    expect(later.runs).toEqual([]);
  });

  it("they are not taken on another system, which may have the same home folder", async () => {
    const first = await provide(lacking, new FakeMachine({ isRoot: false, manager: "apt" }));
    const other = await provide(lacking, new FakeMachine({ isRoot: false, manager: "apt", system: "debian 13 x64" }));
    expect(other).toMatchObject({ lacking: [] });
    expect(other.tree).not.toBe(first.tree);
  });

  it("they are fetched again if they do not bring all that is lacking now", async () => {
    const { tree } = await provide(lacking, new FakeMachine({ isRoot: false, manager: "apt" }));
    rmSync(join(tree as string, "usr", "crun"));
    const later = new FakeMachine({ isRoot: false, manager: "apt" });
    expect(await provide(lacking, later)).toMatchObject({ lacking: [], tree });
    expect(readdirSync(join(tree as string, "usr"))).toContain("crun");
  });

  it("those of another one that was as fast are left, since it may run out of them", async () => {
    const other = new FakeMachine({ isRoot: false, manager: "apt" });
    let tree: string | undefined;
    const machine = new FakeMachine({ isRoot: false, manager: "apt" });
    const run = machine.run.bind(machine);
    machine.run = async (command, args, environment) => {
      if (command === "dpkg-deb" && tree === undefined) {
        tree = (await provide(lacking, other)).tree as string;
        writeFileSync(join(tree, "in use"), "");
      }
      return await run(command, args, environment);
    };
    expect(await provide(lacking, machine)).toMatchObject({ lacking: [], tree: expect.any(String) });
    expect(existsSync(join(tree as unknown as string, "in use"))).toBe(true);
    expect(trees()).toHaveLength(1);
  });

  it("they are unpacked for root too, if the installation fails", async () => {
    const machine = new FakeMachine({
      isRoot: true,
      manager: "apt",
      answer: (line) =>
        /^apt-get (install|update)/.test(line) ? { status: 100, output: "E: held\nmore\n" } : undefined,
    });
    expect(await provide(lacking, machine)).toMatchObject({ lacking: [], why: "apt-get failed: E: held" });
  });

  it("nothing is left of what could not be fetched, and both reasons are told", async () => {
    const machine = new FakeMachine({
      ...{ isRoot: false, manager: "apt" },
      answer: () => ({ status: 100, output: "E: no such host\n" }),
    });
    expect(await provide(lacking, machine)).toEqual({
      lacking,
      why: "without root it cannot install packages; apt-get cannot fetch them either: E: no such host",
    });
    expect(trees()).toEqual([]);
  });

  it.each(["dnf", "apk", "zypper"] as const)("nothing of %s is unpacked", async (manager) => {
    const machine = new FakeMachine({ isRoot: false, manager });
    expect(await provide(lacking, machine)).toEqual({ lacking, why: "without root it cannot install packages" });
    expect(machine.runs).toEqual([]);
  });
});

describe("a machine without a package manager that is known", () => {
  it("keeps lacking what it lacks", async () => {
    const machine = new FakeMachine({ isRoot: true });
    expect(await provide(lacking, machine)).toEqual({
      lacking,
      why: "none of apt-get, dnf, apk and zypper is here to install it with",
    });
    expect(describeGetting(lacking, machine)).toBe("libatomic.so.1 and an OCI runtime, crun or runc");
  });
});

it("what is being got is told with the program that gets it", () => {
  const machine = new FakeMachine({ isRoot: true, manager: "apt" });
  expect(describeGetting([needs.crun, needs.mkfs], machine)).toBe("crun and mkfs.ext4 by apt-get");
});
