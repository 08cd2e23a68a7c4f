import { execFileSync, spawn } from "node:child_process";
import { mkdtempSync, readFileSync, readlinkSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describeWith } from "@uvm-shim/test-support/machine-needs";
import { expect, it } from "vitest";
import { createNetworkNamespace, openNetworkNamespace } from "./network-namespaces.ts";

const here = (): string => readlinkSync("/proc/thread-self/ns/net");

describeWith("root")("a network namespace", () => {
  it("is a new one, and is always left again", () => {
    const home = here();
    const namespace = createNetworkNamespace();
    try {
      expect(here()).toBe(home);
      const inside = namespace.run(() => [
        here(),
        execFileSync("readlink", ["/proc/self/ns/net"], { encoding: "utf8" }).trim(),
        readFileSync("/proc/thread-self/net/dev", "utf8").split("\n").length,
      ]);
      expect(inside[0]).not.toBe(home);
      expect(inside[1]).toBe(inside[0]);
      expect(inside[2]).toBe(4);
      expect(here()).toBe(home);
      expect(() =>
        namespace.run(() => {
          throw new Error("inside");
        }),
      ).toThrow("inside");
      expect(() => namespace.run(async () => {})).toThrow("must be synchronous");
      expect(here()).toBe(home);
    } finally {
      namespace.close();
      namespace.close();
    }
    expect(() => namespace.run(() => {})).toThrow("closed");
  });

  it("does not wait for the writer of a FIFO", () => {
    const directory = mkdtempSync(join(tmpdir(), "namespaces-"));
    try {
      const fifo = join(directory, "fifo");
      execFileSync("mkfifo", [fifo]);
      // In a process of its own, which can be killed if it waits.
      const script = `import(${JSON.stringify(new URL("./network-namespaces.ts", import.meta.url).href)}).then(
        ({ openNetworkNamespace }) => openNetworkNamespace(${JSON.stringify(fifo)}).run(() => {}),
      ).catch((error) => console.log(error.message));`;
      const output = execFileSync(process.execPath, ["-e", script], { encoding: "utf8", timeout: 20_000 });
      expect(output).toContain("EINVAL");
    } finally {
      rmSync(directory, { recursive: true });
    }
  });

  it("can be opened by its path", () => {
    const home = here();
    const namespace = createNetworkNamespace();
    const child = namespace.run(() => spawn("sleep", ["1000"], { stdio: "ignore" }));
    const path = `/proc/${child.pid}/ns/net`;
    try {
      const again = openNetworkNamespace(path);
      try {
        expect(again.run(here)).toBe(namespace.run(here));
        expect(again.run(here)).not.toBe(home);
      } finally {
        again.close();
      }
      expect(here()).toBe(home);
      expect(() => openNetworkNamespace("/proc/0/ns/net")).toThrow("ENOENT");
    } finally {
      child.kill("SIGKILL");
      namespace.close();
    }
  });
});
