import { describe, expect, it } from "vitest";
import { manifest } from "../workspace.ts";
import { commandOf, commandsTogether, enumerate, type Need, needs, orderFor, packagesFor, sentence } from "./needs.mjs";

const managers = ["apt", "dnf", "apk", "zypper"] as const;

describe("what commands need", () => {
  it("is an OCI runtime and the pinned Node's library for the demo, and no Wine", () => {
    const { required, optional, dependencies, runtimes, rootFor } = commandOf("demo", []);
    expect(required).toContain(needs.atomic);
    expect(required).toContain(needs.ociRuntime);
    expect(required).not.toContain(needs.debootstrap);
    expect({ optional, dependencies, runtimes, rootFor }).toEqual({
      ...{ optional: [], dependencies: "runtime", runtimes: [], rootFor: "mounts and namespaces" },
    });
  });

  it("is what Wine needs too for the demo of Windows containers", () => {
    expect(commandOf("demo", ["--windows"]).required).toContain(needs.debootstrap);
  });

  it("is Debian's package manager too where virtual machines are run, whose kernel and QEMU it fetches", () => {
    expect(commandOf("demo", ["--vm"])).toMatchObject({ dependencies: "runtime", rootFor: "mounts and namespaces" });
    for (const { required } of [commandOf("demo", ["--vm"]), commandOf("e2e:vm", [])]) {
      expect(required).toContain(needs.debian);
      expect(required).not.toContain(needs.debootstrap);
    }
    expect(commandOf("demo", []).required).not.toContain(needs.debian);
  });

  it("is optional for tests, which say what they leave out, but for the library without which none runs", () => {
    const { required, optional, runtimes } = commandOf("test", []);
    expect(required).toEqual([needs.atomic]);
    for (const need of [needs.crun, needs.runc, needs.busybox, needs.mkfs, needs.python]) {
      expect(optional).toContain(need);
    }
    expect(runtimes).toEqual([]);
  });

  it("is a Node for Windows only where executables for Windows are made", () => {
    const tasks = Object.keys(manifest().scripts).filter((task) => !task.startsWith("release"));
    const made = tasks.filter((task) => commandOf(task, []).runtimes.includes("win32-x64"));
    expect(made.sort()).toEqual(["bench:windows", "build", "e2e:windows"]);
  });

  it("is only the library for commands that are not in the table", () => {
    expect(commandOf("check", [])).toEqual({
      ...{ required: [needs.atomic], optional: [], dependencies: "all", runtimes: [] },
    });
  });

  it("is required, each thing once, where several are asked for together", () => {
    const together = commandsTogether(["test", "e2e:windows"]);
    expect(together.required).toContain(needs.python);
    expect(together.required).toContain(needs.mingw);
    expect(new Set(together.required).size).toBe(together.required.length);
    expect(together).toMatchObject({ optional: [], rootFor: "mounts and namespaces", runtimes: ["win32-x64"] });
  });
});

describe("packages", () => {
  it("are named for Debian of everything", () => {
    for (const [name, need] of Object.entries<Need>(needs))
      expect([name, need.packages.apt]).toEqual([name, expect.any(String)]);
  });

  it.each(managers)("are named for %s of everything that the demo and the tests need", (manager) => {
    const all = [...commandOf("demo", []).required, ...commandOf("test", []).optional];
    expect(packagesFor(all, manager).unpackaged).toEqual([]);
  });

  it("are named once, in order", () => {
    expect(packagesFor([needs.unshare, needs.setpriv, needs.mount, needs.crun], "dnf")).toEqual({
      ...{ packages: ["crun", "util-linux"], unpackaged: [] },
    });
  });

  it("say what a distribution has none of", () => {
    expect(packagesFor([needs.plugins, needs.ip], "zypper")).toEqual({
      ...{ packages: ["iproute2"], unpackaged: [needs.plugins] },
    });
  });

  it.each([
    ["apt", "apt-get install crun libatomic1"],
    ["dnf", "dnf install crun libatomic"],
    ["apk", "apk add crun libatomic"],
    ["zypper", "zypper install libatomic1 runc"],
  ] as const)("are ordered from %s by: %s", (manager, order) => {
    expect(orderFor([needs.atomic, needs.ociRuntime], manager)).toBe(order);
  });
});

describe("the sentence", () => {
  it("names all that is lacking, and the order that brings it", () => {
    expect(sentence("demo", [needs.atomic, needs.ociRuntime, needs.mount], { manager: "apt" })).toBe(
      "npm run demo needs libatomic.so.1, an OCI runtime, crun or runc and mount, which this machine lacks: " +
        "apt-get install crun libatomic1 mount",
    );
  });

  it("says why it could not be had", () => {
    expect(sentence("demo", [needs.atomic], { manager: "apt", why: "apt-get failed: no such host" })).toBe(
      "npm run demo needs libatomic.so.1, which this machine lacks: apt-get install libatomic1\n" +
        "(apt-get failed: no such host)",
    );
  });

  it("names Debian's packages where no known package manager is", () => {
    expect(sentence("demo", [needs.atomic, needs.ip], { manager: undefined })).toBe(
      "npm run demo needs libatomic.so.1 and ip, which this machine lacks: " +
        "with the packages that Debian calls iproute2, libatomic1",
    );
  });

  it("enumerates", () => {
    expect([[], ["a"], ["a", "b"], ["a", "b", "c"]].map(enumerate)).toEqual(["", "a", "a and b", "a, b and c"]);
  });
});
