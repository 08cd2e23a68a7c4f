import { fstatSync, openSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { dialledShares } from "./dialled-shares.ts";

const share = { MountPath: "/run/mounts/p9/0", Port: 564, ShareName: "0", ReadOnly: true };
const { signal } = new AbortController();

function isOpen(descriptor: number): boolean {
  try {
    fstatSync(descriptor);
    return true;
  } catch {
    return false;
  }
}

describe("a share of a virtual machine", () => {
  const ports: number[] = [];
  let connection = -1;
  const mountShare = dialledShares(async (port) => {
    ports.push(port);
    connection = openSync("/dev/null", "r");
    return connection;
  });

  it("is mounted over a connection to the host, which is then the kernel's alone", async () => {
    const calls: unknown[] = [];
    await mountShare(
      share,
      async (command, parameters, _, descriptor) => {
        calls.push([command, ...parameters], descriptor === connection && isOpen(connection));
        return { exitCode: 0, stderr: "" };
      },
      signal,
    );
    const options = "ro,trans=fd,rfdno=3,wfdno=3,version=9p2000.L,msize=65536,access=any,uname=root,aname=0".split(",");
    expect(ports.splice(0)).toEqual([564]);
    expect(calls).toEqual([["mount", "-t", "9p", "-o", options.join(), "0", "/run/mounts/p9/0"], true]);
    expect(isOpen(connection)).toBe(false);
  });

  it("is refused with the reason", async () => {
    const failing = async () => ({ exitCode: 255, stderr: "mount: no such share\n" });
    await expect(mountShare({ ...share, ReadOnly: false }, failing, signal)).rejects.toMatchObject({
      hresultName: "ERROR_PATH_NOT_FOUND",
      message: expect.stringContaining("share 0 could not be mounted: mount: no such share"),
    });
    expect(isOpen(connection)).toBe(false);
    const unreachable = dialledShares(() => Promise.reject(new Error("refused")));
    await expect(unreachable(share, failing, signal)).rejects.toThrow("share 0 cannot be reached: refused");
    await expect(mountShare({ ...share, ShareName: "0,rw" }, failing, signal)).rejects.toThrow("a name without commas");
  });
});
