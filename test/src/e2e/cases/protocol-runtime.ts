/** What the runtime that the programs are written for brings along, and nobody may notice; spoken to the shim directly. */
import assert from "node:assert/strict";
import { readdirSync, readFileSync, readlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { findServers, type Server } from "../../support/servers.ts";
import { poll } from "../../support/wait.ts";
import { type ProtocolCase, type ProtocolGround, withContainer } from "./protocol.ts";

const WAIT_MS = 20_000;
const SIGUSR1_BIT = 1n << 9n;

/** Addresses, as the kernel shows them, at which a process listens for TCP. */
function listeningAddresses(pid: number): readonly string[] {
  const own = new Set(readdirSync(`/proc/${pid}/fd`).map((name) => readlinkSync(`/proc/${pid}/fd/${name}`)));
  return ["tcp", "tcp6"]
    .flatMap((kind) => readFileSync(`/proc/${pid}/net/${kind}`, "utf8").split("\n"))
    .map((line) => line.trim().split(/\s+/))
    .filter((columns) => columns[3] === "0A" && own.has(`socket:[${columns[9]}]`))
    .map((columns) => columns[1] ?? "");
}

/** Whether the signal was sent and no thread will ever take it. */
function staysPending(pid: number): boolean {
  return readdirSync(`/proc/${pid}/task`).every((thread) => {
    const status = readFileSync(`/proc/${pid}/task/${thread}/status`, "utf8");
    const has = (name: string): boolean =>
      (BigInt(`0x${new RegExp(`^${name}:\\s+(\\w+)$`, "m").exec(status)?.[1]}`) & SIGUSR1_BIT) !== 0n;
    return has("SigBlk") && has("ShdPnd") && !has("SigCgt");
  });
}

async function noDebugger(ground: ProtocolGround): Promise<void> {
  await withContainer(ground, ["sleep", "1000"], async (container) => {
    const log = join(ground.directory, "pod", "log");
    writeFileSync(log, "");
    const servers = findServers();
    for (const pid of Object.values(servers)) process.kill(pid, "SIGUSR1");
    const dumped = (): true | undefined => readFileSync(log, "utf8").includes("=== END state dump ===") || undefined;
    await poll("the shim's state in its log", dumped, { timeoutMs: WAIT_MS, signal: ground.signal });
    assert.match(readFileSync(log, "utf8"), /msg="dump: task" .* task=\S+ state=present/);
    for (const server of ["guest agent", "emulated host"] satisfies Server[]) {
      assert.ok(staysPending(servers[server]), `the ${server} may take the signal`);
    }
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
  { name: "SIGUSR1 opens no debugger in any process of a pod, and the shim tells its state", run: noDebugger },
];
