import { ScriptedCalls } from "@uvm-shim/lifecycle/testing";
import { describe, expect, it } from "vitest";
import { vsmbOn } from "./testing/index.ts";

const inGuest = "\\\\?\\VMSMB\\VSMB-{dcc079ae-60ba-4d07-847c-3493609c0870}\\IPC$";
const engine = "\\\\.\\pipe\\docker_engine";

describe("a named pipe", () => {
  it("is mapped for all its users, and unmapped with the last", async () => {
    const { vm, pipes } = vsmbOn();
    const users = [await pipes.reserve(engine), await pipes.reserve(engine)];
    for (const user of users) expect(await pipes.mapToGuest(user)).toBe(`${inGuest}\\docker_engine`);
    expect(pipes.pipes).toEqual([{ hostPath: engine, holders: 2, state: "Mapped" }]);
    for (const user of users) await pipes.unmapFromGuest(user);
    expect(vm.script.calls).toEqual([
      { name: "mapPipe", detail: engine },
      { name: "unmapPipe", detail: engine },
    ]);
    expect(vm.pipes).toEqual([]);
    expect(pipes.pipes).toEqual([]);
  });

  it.each([
    ["\\\\.\\pipe\\docker_engine", "docker_engine"],
    ["\\\\?\\pipe\\docker_engine", "docker_engine"],
    ["//./pipe/docker_engine", "docker_engine"],
    ["\\\\.\\PIPE\\Docker_Engine", "Docker_Engine"],
  ])("is the same as %s", async (path, name) => {
    const { vm, pipes } = vsmbOn();
    expect(await pipes.mapToGuest(await pipes.reserve(path))).toBe(`${inGuest}\\${name}`);
    await pipes.mapToGuest(await pipes.reserve(engine));
    expect(vm.pipes).toEqual([`\\\\.\\pipe\\${name}`]);
    expect(pipes.pipes).toMatchObject([{ holders: 2 }]);
  });

  it("may have a name of several parts", async () => {
    const { vm, pipes } = vsmbOn();
    const path = "\\\\.\\pipe\\ProtectedPrefix\\Administrators\\x";
    expect(await pipes.mapToGuest(await pipes.reserve(path))).toBe(`${inGuest}\\ProtectedPrefix\\Administrators\\x`);
    expect(vm.pipes).toEqual([path]);
  });

  it.each(["fail", "lose"] as const)("whose mapping did %s is unmapped before the next attempt", async (fault) => {
    const { vm, pipes } = vsmbOn(new ScriptedCalls(new Map([[0, fault]])));
    const id = await pipes.reserve(engine);
    await expect(pipes.mapToGuest(id)).rejects.toMatchObject({ code: "Unavailable", operation: "map pipe" });
    expect(pipes.pipes).toMatchObject([{ state: "Invalid" }]);
    expect(await pipes.mapToGuest(id)).toBe(`${inGuest}\\docker_engine`);
    expect(vm.script.names).toEqual(["mapPipe", "unmapPipe", "mapPipe"]);
  });

  it.each(["fail", "lose"] as const)("whose unmapping did %s is unmapped again", async (fault) => {
    const { vm, pipes } = vsmbOn(new ScriptedCalls(new Map([[1, fault]])));
    const id = await pipes.reserve(engine);
    await pipes.mapToGuest(id);
    await expect(pipes.unmapFromGuest(id)).rejects.toMatchObject({ code: "Unavailable", operation: "unmap pipe" });
    expect(pipes.pipes).toMatchObject([{ holders: 1, state: "Invalid" }]);
    await pipes.unmapFromGuest(id);
    expect(vm.pipes).toEqual([]);
    expect(pipes.pipes).toEqual([]);
  });

  it("is not touched when a reservation is given back unused", async () => {
    const { vm, pipes } = vsmbOn();
    await pipes.unmapFromGuest(await pipes.reserve(engine));
    expect(vm.script.calls).toEqual([]);
  });

  it.each([
    "",
    "docker_engine",
    "\\\\.\\pipe",
    "\\\\.\\pipe\\",
    "\\\\server\\pipe\\x",
    "C:\\pipe\\x",
    "\\\\.\\pipe\\a\0",
  ])("is not %j", async (path) => {
    const { pipes } = vsmbOn();
    await expect(pipes.reserve(path)).rejects.toMatchObject({
      code: "InvalidArgument",
      message: expect.stringContaining(`hostPath is ${JSON.stringify(path)}, expected a named pipe`),
    });
  });
});
