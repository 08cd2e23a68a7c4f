import { execFileSync } from "node:child_process";
import { fileURLToPath } from "node:url";
import { describeWith } from "@uvm-shim/test-support/machine-needs";
import { expect, it } from "vitest";

const module = fileURLToPath(new URL("system-call-filter.ts", import.meta.url));

/** The output of a child process that denies itself calls: there is no way back. */
function printed(calls: object, script: string): string {
  const program = `
    const { denyCalls } = await import(${JSON.stringify(module)});
    const { execFileSync } = await import("node:child_process");
    const tried = (command) => {
      try {
        return execFileSync("/bin/sh", ["-c", command], { stdio: ["ignore", "pipe", "pipe"] }).toString().trim();
      } catch (error) {
        return error.stderr.toString().trim();
      }
    };
    denyCalls(${JSON.stringify(calls)});
    ${script}`;
  return execFileSync(process.execPath, ["--input-type=module", "--eval", program]).toString().trim();
}

describeWith("root", "python3")("a system call filter", () => {
  const numbers = { x64: 41, arm64: 198 };
  const socket = (family: string): string =>
    `console.log(tried("python3 -c 'import socket; socket.socket(socket.${family}).close(); print(1)' 2>&1 | tail -n 1"));`;

  it("denies by an argument, to children too, with the given errno", () => {
    const calls = [{ numbers, argument: { index: 0, values: [2] }, errno: "EAFNOSUPPORT" }];
    expect(printed(calls, socket("AF_INET"))).toContain("Errno 97");
    expect(printed(calls, socket("AF_UNIX"))).toBe("1");
  });

  it("denies all but some arguments, whatever the bits outside the mask", () => {
    const calls = [{ numbers, argument: { index: 0, mask: 0xff, values: [1, 16], except: true } }];
    expect(printed(calls, socket("AF_INET"))).toContain("Errno 1]");
    expect(printed(calls, socket("AF_UNIX"))).toBe("1");
    // ESOCKTNOSUPPORT is the kernel's own answer, so the filter passed the call.
    expect(printed(calls, socket("AF_NETLINK"))).toContain("Errno 94");
  });

  it("denies a call whatever its arguments, and no other call", () => {
    const calls = [{ numbers: { x64: 83, arm64: 34 } }, { numbers: { x64: 258, arm64: 34 } }];
    expect(printed(calls, 'console.log(tried("mkdir /tmp/x-$$"), tried("echo lives"));')).toMatch(
      /Operation not permitted lives$/,
    );
  });
});
