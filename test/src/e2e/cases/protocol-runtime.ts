/** What the runtime that the programs are written for brings along, and nobody may notice; spoken to the shim directly. */
import assert from "node:assert/strict";
import { readdirSync, readFileSync, readlinkSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { WAIT_MS } from "../../support/guest-kind.ts";
import { findServers } from "../../support/servers.ts";
import { poll } from "../../support/wait.ts";
import { type ProtocolCase, type ProtocolCaseContext, withContainer } from "./protocol.ts";

/** Addresses, as the kernel shows them, at which a process listens for TCP. */
function listeningAddresses(pid: number): readonly string[] {
  const own = new Set(readdirSync(`/proc/${pid}/fd`).map((name) => readlinkSync(`/proc/${pid}/fd/${name}`)));
  return ["tcp", "tcp6"]
    .flatMap((kind) => readFileSync(`/proc/${pid}/net/${kind}`, "utf8").split("\n"))
    .map((line) => line.trim().split(/\s+/))
    .filter((columns) => columns[3] === "0A" && own.has(`socket:[${columns[9]}]`))
    .map((columns) => columns[1] ?? "");
}

async function noDebugger(context: ProtocolCaseContext): Promise<void> {
  await withContainer(context, ["sleep", "1000"], async (container) => {
    const log = join(context.directory, "pod", "log");
    writeFileSync(log, "");
    const servers = findServers();
    const hostLog = `/proc/${servers["emulated host"]}/fd/2`;
    const saidBefore = statSync(hostLog).size;
    for (const pid of Object.values(servers)) process.kill(pid, "SIGUSR1");
    const dumped = (): true | undefined => readFileSync(log, "utf8").includes("=== END state dump ===") || undefined;
    await poll("the shim's state in its log", dumped, { timeoutMs: WAIT_MS, signal: context.signal });
    assert.match(readFileSync(log, "utf8"), /msg="dump: task" .* task=\S+ state=present/);
    // The agent's log is the guest's, which the shim hands on.
    const agentsEnd = (): true | undefined =>
      /=== END state dump ===" .*guest\.time=/.test(readFileSync(log, "utf8")) || undefined;
    await poll("the agent's state in the shim's log", agentsEnd, { timeoutMs: WAIT_MS, signal: context.signal });
    const hostsEnd = (): true | undefined =>
      readFileSync(hostLog, "utf8").slice(saidBefore).includes("hcs-emulator: === END state dump ===") || undefined;
    await poll("the host's state in its log", hostsEnd, { timeoutMs: WAIT_MS, signal: context.signal });
    for (const [server, pid] of Object.entries(servers)) {
      assert.deepEqual(listeningAddresses(pid), [], `the ${server} listens`);
    }
    const stdio = await container.exec("after", { args: ["sh", "-c", "echo lives"] });
    const output = stdio.output();
    assert.equal(await container.wait("after"), 0);
    assert.equal((await output).stdout.toString(), "lives\n");
    await container.deleteExec("after");
    stdio.close();
  });
}

export const protocolRuntimeCases: readonly ProtocolCase[] = [
  { name: "SIGUSR1 opens no debugger in any process of a pod, and each logs its state", run: noDebugger },
];
