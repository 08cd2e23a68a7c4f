import { expect, it } from "vitest";
import { acceptancePattern, connectLine, hostPortPath, hostServicePath, longestHvsocketLine } from "../hvsockets.ts";
import { acceptanceLine, longestHvsocketName, portOfConnectLine } from "./hvsockets.ts";

const ports = [0, 1, 564, 0x40000000, 0xffffffff];

it("has a socket for each port of the host", () => {
  expect(hostPortPath("/vm/a/hv.vsock", 564)).toBe("/vm/a/hv.vsock_564");
  for (const port of ports)
    expect(hostPortPath("hv.vsock", port).length).toBeLessThanOrEqual(longestHvsocketName.length);
});

it("has a socket for each service of the host, by the first 32 bits of its GUID", () => {
  expect(hostServicePath("/vm/a/hv.vsock", "00000234-FACB-11E6-BD58-64006A7986D3")).toBe("/vm/a/hv.vsock_564");
  const guestService = "ACEF5661-84A1-4E44-856B-6245E69F4620";
  expect(hostServicePath("hv.vsock", guestService)).toBe(hostPortPath("hv.vsock", 0xacef5661));
});

it.each(ports)("carries port %d in its lines", (port) => {
  expect(portOfConnectLine(connectLine(port))).toBe(port);
  expect(acceptanceLine(port)).toMatch(acceptancePattern);
  for (const line of [connectLine(port), acceptanceLine(port)]) expect(line.length).toBeLessThan(longestHvsocketLine);
});

it.each(["", "CONNECT", "CONNECT ", "CONNECT -1", "CONNECT 1 ", "connect 1", "CONNECT 12345678901", "OK 1"])(
  "does not read %j as a request",
  (line) => {
    expect(portOfConnectLine(line)).toBeUndefined();
  },
);

it.each(["", "OK", "OK x", "OK 1 ", "ok 1", "CONNECT 1"])("does not read %j as an acceptance", (line) => {
  expect(line).not.toMatch(acceptancePattern);
});
