import { closeSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { findRuntime, RuntimeFile } from "./runtime.ts";

describe("the guest's OCI runtime", () => {
  it("is crun, or runc where there is no crun", () => {
    expect(findRuntime(() => true)).toBe("/usr/bin/crun");
    expect(findRuntime((path) => path.endsWith("/runc"))).toBe("/usr/bin/runc");
    expect(findRuntime((path) => path === "/usr/local/bin/runc")).toBe("/usr/local/bin/runc");
  });

  it("is reported with its possible paths if it is missing", () => {
    expect(() => findRuntime(() => false)).toThrow(
      "the guest's image has no OCI runtime: expected one of /usr/bin/crun, /usr/sbin/crun, /usr/local/bin/crun, ",
    );
  });
});

describe("what is executed for the runtime", () => {
  it("is one copy of crun that nothing can change", () => {
    const folder = mkdtempSync(join(tmpdir(), "runtime-"));
    try {
      const program = join(folder, "crun");
      writeFileSync(program, "the program", { mode: 0o755 });
      const file = new RuntimeFile(program);
      const { path } = file;
      expect(readFileSync(path, "utf8")).toBe("the program");
      expect(() => writeFileSync(path, "another")).toThrow("EPERM");
      expect(file.path).toBe(path);
      closeSync(Number(path.slice("/proc/self/fd/".length)));
    } finally {
      rmSync(folder, { recursive: true });
    }
  });

  it("is the program itself where it cannot be copied, or is runc", () => {
    expect(new RuntimeFile("/nonexistent/crun").path).toBe("/nonexistent/crun");
    expect(new RuntimeFile("/usr/bin/runc").path).toBe("/usr/bin/runc");
  });
});
