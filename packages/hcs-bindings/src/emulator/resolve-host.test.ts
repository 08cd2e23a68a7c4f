import { defaultHostSocket } from "@uvm-shim/host-protocol";
import { describe, expect, it } from "vitest";
import { resolveHost } from "./resolve-host.ts";

describe("resolveHost", () => {
  it.each([undefined, ""])("returns the default for %j", (value) => {
    expect(resolveHost({ UVM_SHIM_HOST: value })).toEqual({ socketPath: defaultHostSocket, mayStart: true });
  });

  it("returns the socket of a host that it may not start", () => {
    expect(resolveHost({ UVM_SHIM_HOST: "unix:/tmp/x.sock" })).toEqual({ socketPath: "/tmp/x.sock", mayStart: false });
  });

  it.each([
    ["none", "Unavailable", /UVM_SHIM_HOST=none forbids an emulated host/],
    ["unix:relative", "InvalidArgument", /invalid value "unix:relative": expected "none", "unix:/],
    ["tcp://host", "InvalidArgument", /invalid value "tcp:\/\/host"/],
  ])("refuses %s", (value, code, message) => {
    expect(() => resolveHost({ UVM_SHIM_HOST: value })).toThrow(
      expect.objectContaining({ code, message: expect.stringMatching(message) }),
    );
  });
});
