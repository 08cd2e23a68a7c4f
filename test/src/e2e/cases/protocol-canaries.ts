/** Secrets of callers: in no log, error, event, state file or core file, whatever becomes of the pod. */
import assert from "node:assert/strict";
import { existsSync, readdirSync, readFileSync, readlinkSync, statSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { containerd } from "@uvm-shim/shim/protocol";
import { TtrpcError } from "@uvm-shim/ttrpc";
import { Pod, type PodContainer } from "../../shim-client/pod.ts";
import type { Specification } from "../../shim-client/spec.ts";
import { Canaries } from "../../support/canaries.ts";
import { WAIT_MS } from "../../support/guest-kind.ts";
import { findServers } from "../../support/servers.ts";
import { poll } from "../../support/wait.ts";
import { directoryRootfs, type ProtocolCase, type ProtocolCaseContext } from "./protocol.ts";

const { Options } = containerd.runhcs.v1;
const vm = "io.microsoft.virtualmachine.";

/** By what their readers expect; each is refused as it is no such thing. */
const refusedOfSandboxes = {
  number: `${vm}computetopology.processor.count`,
  truth: `${vm}computetopology.memory.enablecolddiscardhint`,
  word: `${vm}lcow.preferredrootfstype`,
  GUID: `${vm}cpugroup.id`,
  "numbers in a row": `${vm}computetopology.numa.mapped-physical-nodes`,
  policy: `${vm}lcow.securitypolicy`,
} as const;
const refusedOfContainers = {
  "number of a container": "io.microsoft.lcow.shm.size-kb",
  "numbers of a container": "io.microsoft.lcow.rlimitcore",
  "words of a container": "io.microsoft.container.gpu.capabilities",
  "truth of a container": `${vm}lcow.privileged`,
  "path of a container": "io.microsoft.lcow.gpuvhdpath",
} as const;

/** What a shim refuses; its words, with all that causes say. */
async function wordsOf(refused: Promise<unknown>, what: string): Promise<string> {
  const error = await refused.then(
    () => assert.fail(`${what} is refused`),
    (reason: unknown) => reason,
  );
  assert.ok(error instanceof TtrpcError, `${what}: ${error}`);
  return error.message;
}

/** Bundles' config.json is the caller's own file, which holds all of it. The root file system is the container's. */
const isOurs = (file: string): boolean => !file.endsWith("/config.json") && !file.includes("/rootfs/");

async function secretsOfCallers(context: ProtocolCaseContext): Promise<void> {
  const { executable, environment, directory, signal } = context;
  const canaries = new Canaries();
  const words: string[] = [];
  const inFiles = (...folders: string[]): readonly string[] =>
    folders.flatMap((folder) => canaries.below(folder, isOurs));

  const runtimeOptions = Options.encode({ registryRoot: `https://user:${canaries.at("registry")}@registry` }).finish();
  for (const [kind, key] of Object.entries(refusedOfSandboxes)) {
    const annotations = { [key]: canaries.at(kind) };
    const pod = Pod.run({ executable, environment, directory, signal, id: "pod", annotations, runtimeOptions });
    words.push(await wordsOf(pod, kind));
  }

  const annotations = { "com.example/token": canaries.at("unknown annotation") };
  const pod = await Pod.run({ executable, environment, directory, signal, id: "pod", annotations, runtimeOptions });
  try {
    const create = (id: string, change?: (specification: Specification) => object): Promise<PodContainer> =>
      pod.createContainer({
        ...{ id, rootfs: directoryRootfs(context), ...(change && { change }) },
        environment: [`TOKEN=${canaries.at("environment")}`],
        args: ["sh", "-c", "ulimit -Sc; sleep 1000", canaries.at("argument")],
      });
    for (const [kind, key] of Object.entries(refusedOfContainers)) {
      const value = canaries.at(kind);
      const change = (specification: Specification): object => ({ ...specification, annotations: { [key]: value } });
      words.push(await wordsOf(create("refused", change), kind));
    }
    const stdout = `binary:///bin/false?${canaries.at("argument of a logging program")}`;
    const logging = pod.createContainer({ id: "logging", args: ["true"], rootfs: directoryRootfs(context), stdout });
    words.push(await wordsOf(logging, "a logging program that fails"));

    const container = await create("c1");
    const output = container.stdio.output();
    await container.start();
    const stdio = await container.exec("e1", {
      args: ["true", canaries.at("argument of an exec")],
      environment: [`TOKEN=${canaries.at("environment of an exec")}`],
    });
    assert.equal(await container.wait("e1"), 0);
    await container.deleteExec("e1");
    stdio.close();
    const missing = container.addExec("e2", { args: [`/none/${"x"}`, canaries.at("argument of what is missing")] }, {});
    words.push(
      await wordsOf(
        missing.then(() => container.startExec("e2")),
        "a missing program",
      ),
    );
    await container.deleteExec("e2");

    const servers = findServers();
    const log = join(directory, "pod", "log");
    const dumps = (): true | undefined =>
      /=== END state dump ===" .*guest\.time=/.test(readFileSync(log, "utf8")) || undefined;
    const hostLog = readlinkSync(`/proc/${servers["emulated host"]}/fd/2`);
    const saidBefore = statSync(hostLog).size;
    const hostDumps = (): true | undefined =>
      readFileSync(hostLog, "utf8").slice(saidBefore).includes("=== END state dump ===") || undefined;
    if (!existsSync(log)) writeFileSync(log, "");
    for (const pid of Object.values(servers)) process.kill(pid, "SIGUSR1");
    await poll("the dumps in the shim's log", dumps, { timeoutMs: WAIT_MS, signal });
    await poll("the host's dump", hostDumps, { timeoutMs: WAIT_MS, signal });
    assert.deepEqual(inFiles(directory, dirname(hostLog)), []);

    for (const [server, pid] of Object.entries(servers)) {
      assert.match(readFileSync(`/proc/${pid}/limits`, "utf8"), /^Max core file size +0 /m, `of the ${server}`);
    }
    process.kill(servers.shim, "SIGABRT");
    await pod.shim.closed;
    const cores = readdirSync(join(directory, "pod")).filter((name) => name.startsWith("core"));
    assert.deepEqual(cores, []);
    assert.deepEqual(inFiles(directory, dirname(hostLog)), []);
    container.stdio.close();
    await output.catch(() => undefined);
    for (const { topic, value } of pod.sink.events) assert.deepEqual(canaries.in(value), [], topic);
  } finally {
    await pod.abandon();
  }
  for (const text of words) assert.deepEqual(canaries.in(Buffer.from(text)), [], text);
}

export const protocolCanaryCases: readonly ProtocolCase[] = [
  { name: "secrets of callers are in no error, log, event, state file or core file", run: secretsOfCallers },
];
