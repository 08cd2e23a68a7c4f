import { expect, it } from "vitest";
import { resolveLibraries } from "./libraries.ts";

it.each([
  [{ SystemRoot: "D:\\Windows" }, "D:\\Windows\\System32\\computecore.dll", "D:\\Windows\\System32\\kernel32.dll"],
  [{ UVM_SHIM_HOST: "" }, "C:\\Windows\\System32\\computecore.dll", "C:\\Windows\\System32\\kernel32.dll"],
  [{ UVM_SHIM_HOST: "libraries:Z:\\x y" }, "Z:\\x y\\computecore.dll", "Z:\\x y\\system.dll"],
])("finds the libraries of %j", (env, computecore, kernel32) => {
  expect(resolveLibraries(env)).toMatchObject({ computecore, kernel32 });
});

it.each([
  ["none", "Unavailable"],
  ["libraries:", "InvalidArgument"],
  ["libraries:folder", "InvalidArgument"],
  ["unix:/run/host.sock", "InvalidArgument"],
])("refuses the host %s", (UVM_SHIM_HOST, code) => {
  expect(() => resolveLibraries({ UVM_SHIM_HOST })).toThrow(expect.objectContaining({ code }));
});
