import { constants } from "node:os";
import { afterEach, describe, expect, it, vi } from "vitest";
import { LinuxCallError, pipe, umount } from "./index.ts";
import { repeatIfInterrupted } from "./libc.ts";

afterEach(() => {
  vi.unstubAllGlobals();
  vi.resetModules();
});

describe("system calls", () => {
  it("throw errors that name the call, its subject and the errno", () => {
    const error = (() => {
      try {
        umount("/no/such/mount");
        return undefined;
      } catch (thrown) {
        return thrown;
      }
    })();
    expect(error).toBeInstanceOf(LinuxCallError);
    expect(error).toMatchObject({
      call: "umount2",
      code: "ENOENT",
      errno: 2,
      message: "umount2 /no/such/mount: ENOENT",
    });
  });

  it("keep the number of an errno without a name", () => {
    expect(new LinuxCallError("mount", "x", 4000).code).toBe("errno 4000");
  });

  it("are refused on other platforms, and only when called", async () => {
    vi.resetModules();
    vi.stubGlobal("process", { ...process, platform: "win32", arch: "x64" });
    const fresh = await import("./index.ts");
    expect(() => fresh.pipe()).toThrow(
      "unsupported platform win32-x64: @uvm-shim/linux-calls requires linux-x64 or linux-arm64",
    );
    vi.unstubAllGlobals();
    expect(pipe().readFd).toBeGreaterThan(2);
  });
});

describe("a call that can be interrupted", () => {
  const interrupted = () => new LinuxCallError("bpf", "x", constants.errno.EAGAIN);

  it("is repeated, but not for ever", () => {
    const call = vi.fn<() => number>().mockImplementationOnce(() => {
      throw interrupted();
    });
    call.mockReturnValue(7);
    expect(repeatIfInterrupted(call)).toBe(7);
    const never = vi.fn<() => number>(() => {
      throw interrupted();
    });
    expect(() => repeatIfInterrupted(never)).toThrow("EAGAIN");
    expect(never).toHaveBeenCalledTimes(64);
  });

  it("is not repeated if it was refused", () => {
    const refused = vi.fn<() => number>(() => {
      throw new LinuxCallError("bpf", "x", constants.errno.EPERM);
    });
    expect(() => repeatIfInterrupted(refused)).toThrow("EPERM");
    expect(refused).toHaveBeenCalledOnce();
  });
});
