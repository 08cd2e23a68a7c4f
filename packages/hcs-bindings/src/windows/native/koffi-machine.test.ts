import { describeWith } from "@uvm-shim/test-support/machine-needs";
import { expect, it } from "vitest";
import { nativeMachine } from "./koffi-machine.ts";
import type { FunctionTable } from "./native-types.ts";

const functions = {
  getpid: { result: "int32", parameters: [], since: 17763, immediate: true },
  usleep: { result: "int32", parameters: ["uint32"], since: 17763 },
  getenv: { result: "pointer", parameters: ["text"], since: 17763, immediate: true },
  memcpy: { result: "pointer", parameters: ["pointer", "pointer", "uint64"], since: 17763 },
  qsort: { result: "void", parameters: ["pointer", "uint64", "uint64", "pointer"], since: 17763 },
  HcsGrantVmGroupAccess: { result: "int32", parameters: ["text"], since: 19041, immediate: true },
} as const satisfies FunctionTable;

// Calls into Linux' C library.
describeWith("Linux")("calls into a library", () => {
  const machine = nativeMachine();
  const library = machine.library("libc.so.6", functions);

  it("run on this thread or on another", async () => {
    expect(library.call("getpid")).toBe(process.pid);
    expect(await library.run("getpid")).toBe(process.pid);
    expect(await library.occupy("usleep", 1)).toBe(0);
  });

  it("return addresses as numbers, and NULL as 0", async () => {
    expect(library.call("getenv", "UVM_SHIM_NOT_THERE")).toBe(0n);
    const [from, to] = [Buffer.from("héllo 😀\0", "utf16le"), Buffer.alloc(32)];
    const address = await library.run("memcpy", to, machine.addressOf(from), from.length);
    expect(address).toBe(machine.addressOf(to));
    expect(machine.readText(address)).toBe("héllo 😀");
    expect(machine.readBytes(address, 2)).toEqual(Buffer.from("h\0"));
  });

  it("can call back", async () => {
    const numbers = Buffer.from(new Int32Array([3, 1, 2]).buffer);
    const pairs: [bigint, bigint][] = [];
    const callback = machine.registerCallback(["pointer", "pointer"], (left, right) => pairs.push([left, right]));
    await library.run("qsort", numbers, 3, 4, callback.address);
    callback.unregister();
    expect(pairs.length).toBeGreaterThan(1);
    expect(typeof pairs[0]?.[0]).toBe("bigint");
  });

  it("are refused if they are not exported, with the build that has them", async () => {
    expect(library.has("getpid")).toBe(true);
    expect(library.has("HcsGrantVmGroupAccess")).toBe(false);
    const refusal = { code: "Unimplemented", message: expect.stringMatching(/libc\.so\.6.*build 19041/) };
    await expect(library.run("HcsGrantVmGroupAccess", "x")).rejects.toMatchObject(refusal);
    expect(() => library.call("HcsGrantVmGroupAccess", "x")).toThrow(expect.objectContaining(refusal));
  });

  it("are refused with texts that contain NUL", async () => {
    await expect(library.run("getenv", "a\0b")).rejects.toMatchObject({ code: "InvalidArgument" });
  });

  it("are unavailable without the library", () => {
    expect(() => machine.library("/missing/computecore.dll", functions)).toThrow(
      expect.objectContaining({
        code: "Unavailable",
        message: expect.stringMatching(/\/missing\/computecore\.dll.*build 17763/),
      }),
    );
  });
});
