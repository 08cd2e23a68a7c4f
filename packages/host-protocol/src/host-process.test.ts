import { expect, it } from "vitest";
import { hostPipePath } from "./host-process.ts";

it.each(["\\\\.\\pipe\\Docker_Engine", "\\\\?\\PIPE\\docker_engine", "docker_engine"])(
  "has a socket for pipe %s",
  (pipe) => {
    expect(hostPipePath("/state", pipe)).toBe("/state/pipes/docker_engine");
  },
);

it.each(["", "\\\\.\\pipe\\", "..", ".", "../up", "a/b", "a\0b"])("has no socket for pipe %j", (pipe) => {
  expect(hostPipePath("/state", pipe)).toBeUndefined();
});
