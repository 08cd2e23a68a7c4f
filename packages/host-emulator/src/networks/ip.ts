import { startProgram } from "@uvm-shim/child-processes";
import type { NetworkNamespace } from "@uvm-shim/linux-calls";
import { HcsFailure } from "../hcs-failure.ts";
import { findProgram, programFolders } from "../process-guest/guest-image.ts";

/** Runs `ip` of iproute2 in a network namespace; returns its output. */
export async function runIp(namespace: NetworkNamespace, words: readonly string[], input = ""): Promise<string> {
  const program = findProgram("ip");
  if (program === undefined) {
    throw new HcsFailure("ERROR_FILE_NOT_FOUND", "program ip not found: install the Debian package iproute2");
  }
  const environment = { PATH: programFolders.join(":"), LC_ALL: "C" };
  // Starts within the namespace; the wait for its end is outside.
  const { starting } = namespace.run(() => ({
    starting: startProgram(program, words, { cwd: "/", env: environment, stdio: ["pipe", "pipe", "pipe"] }),
  }));
  const child = await starting;
  let printed = "";
  let said = "";
  child.stdout?.setEncoding("utf8").on("data", (text: string) => {
    printed += text;
  });
  child.stderr?.setEncoding("utf8").on("data", (text: string) => {
    said += text;
  });
  const exit = new Promise<number | null>((resolve) => child.once("close", resolve));
  child.stdin?.on("error", () => {}).end(input);
  if ((await exit) === 0) return printed;
  const asked = input === "" ? words.join(" ") : input.trim().replaceAll("\n", "; ");
  throw new HcsFailure("E_FAIL", `ip: ${said.trim()} in: ${asked}`);
}
