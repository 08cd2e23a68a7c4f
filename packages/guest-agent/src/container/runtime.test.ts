import { describe, expect, it } from "vitest";
import { findRuntime } from "./runtime.ts";

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
