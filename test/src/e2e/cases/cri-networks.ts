/** Pods in networks that CNI plugins have set up, as their callers reach them: by address, through ports of the node, forwarded. */
import assert from "node:assert/strict";
import { readdirSync } from "node:fs";
import { createServer } from "node:http";
import { type AddressInfo, connect } from "node:net";
import { hostname } from "node:os";
import { dirname, join } from "node:path";
import { mustRun } from "@uvm-shim/test-support/command";
import { askForwarded } from "../../cri/forwarded-port.ts";
import type { CriPod } from "../../cri/pod.ts";
import { runtime } from "../../generated/messages.js";
import { READY_MS } from "../../support/guest-kind.ts";
import { poll } from "../../support/wait.ts";
import { addressesOf, NETWORKS } from "../cni.ts";
import { classicHandler, networkedHandler } from "../containerd.ts";
import { inEachForm, output, withPod } from "../cri-case.ts";
import type { Case, CriCaseContext } from "../suite.ts";

const { NODE } = runtime.v1.NamespaceMode;
const PORT = 8080;
const HIDDEN_PORT = 8081;
const CLOSED_PORT = 8082;
const NODE_PORT = 18_080;
const WORD = "from the pod\n";
/** One server for everybody, and one that listens at the pod's localhost alone. */
const SERVE = [
  "mkdir /www",
  "echo from the pod > /www/index.html",
  `httpd -p 127.0.0.1:${HIDDEN_PORT} -h /www`,
  `exec httpd -f -p ${PORT} -h /www`,
].join(" && ");

async function get(url: string): Promise<string> {
  const response = await fetch(url, { headers: { connection: "close" }, signal: AbortSignal.timeout(READY_MS) });
  assert.equal(response.status, 200);
  return await response.text();
}

/** As a kubelet's TCP probe: whether a connection comes about. */
async function accepts(host: string, port: number): Promise<boolean> {
  const socket = connect({ host, port });
  try {
    return await new Promise<boolean>((resolve, reject) => {
      socket.once("connect", () => resolve(true));
      socket.once("error", (error: NodeJS.ErrnoException) =>
        error.code === "ECONNREFUSED" ? resolve(false) : reject(error),
      );
    });
  } finally {
    socket.destroy();
  }
}

/** What the plugins have made for the pod is what its containers have, and nothing else; its addresses. */
async function addresses(context: CriCaseContext, pod: CriPod, id: string): Promise<readonly string[]> {
  const shown = await output(context, id, "ip", "-4", "-o", "addr", "show");
  const found = [...shown.matchAll(/(\S+)\s+inet ([\d.]+)\/(\d+)/g)]
    .map(([, name = "", address = "", length]) => ({ name, address, length }))
    // containerd has the plugins of several networks run at once.
    .sort((one, other) => (one.name < other.name ? -1 : 1));
  assert.deepEqual(
    found.map(({ name, length }) => `${name}/${length}`),
    ["eth0/24", "eth1/24", "lo/8"],
    shown,
  );
  const addresses = found.slice(0, NETWORKS.length).map(({ address }) => address);
  for (const [index, { prefix, mtu }] of NETWORKS.entries()) {
    assert.equal(addresses[index]?.startsWith(`${prefix}.`), true, `${addresses[index]} is of ${prefix}.0/24`);
    assert.equal(await output(context, id, "cat", `/sys/class/net/eth${index}/mtu`), `${mtu}\n`);
  }
  assert.match(
    await output(context, id, "ip", "route"),
    new RegExp(`^default via ${NETWORKS[0].gateway} dev eth0`, "m"),
  );
  // Of several networks, containerd reports the address in the first.
  const { status } = await context.cri.call("PodSandboxStatus", { podSandboxId: pod.id });
  assert.equal(status?.network?.ip, addresses[0]);
  return addresses;
}

/** A server of the node's hears from the pod's address. */
async function reachesNode(context: CriCaseContext, id: string, address: string): Promise<void> {
  const server = createServer(({ socket }, response) => response.end(`${socket.remoteAddress}\n`));
  await new Promise<void>((resolve) => server.listen(0, NETWORKS[0].gateway, resolve));
  try {
    const url = `http://${NETWORKS[0].gateway}:${(server.address() as AddressInfo).port}/`;
    assert.equal(await output(context, id, "wget", "-q", "-O", "-", url), `${address}\n`);
  } finally {
    server.close();
  }
}

async function reached(context: CriCaseContext, handler: string): Promise<void> {
  const { cri, signal } = context;
  const work = async (pod: CriPod): Promise<void> => {
    const server = await pod.run("server", ["sh", "-c", SERVE]);
    const [first = "", second = ""] = await addresses(context, pod, server);
    const listens = async (): Promise<true | undefined> => ((await accepts(first, PORT)) ? true : undefined);
    await poll("the pod to accept connections", listens, { timeoutMs: READY_MS, signal });
    assert.equal(await accepts(first, CLOSED_PORT), false);
    assert.equal(await accepts(first, HIDDEN_PORT), false);
    for (const address of [first, second]) assert.equal(await get(`http://${address}:${PORT}/`), WORD);
    for (const address of ["127.0.0.1", NETWORKS[0].gateway]) {
      assert.equal(await get(`http://${address}:${NODE_PORT}/`), WORD);
    }
    for (const port of [PORT, HIDDEN_PORT]) {
      const { url } = await cri.call("PortForward", { podSandboxId: pod.id, port: [port] });
      await askForwarded(url, port, "GET / HTTP/1.0\r\n\r\n", /^HTTP\/1\.[01] 200 [\s\S]*from the pod\n$/, READY_MS);
    }
    const other = await pod.run("other", ["sleep", "1000"]);
    assert.equal(await output(context, other, "wget", "-q", "-O", "-", `http://127.0.0.1:${HIDDEN_PORT}/`), WORD);
    await reachesNode(context, other, first);
  };
  const portMappings = [{ containerPort: PORT, hostPort: NODE_PORT }];
  await withPod(context, work, { portMappings }, networkedHandler(handler));
  await nothingSetUp(context);
}

/** Plugins find again what they are to take back. */
async function nothingSetUp({ containerd }: CriCaseContext): Promise<void> {
  const directory = join(dirname(containerd.state), "cni");
  for (const { name, bridge } of NETWORKS) {
    const lent = readdirSync(addressesOf(directory, name)).filter((file) => /^\d+(\.\d+){3}$/.test(file));
    assert.deepEqual(lent, [], `addresses of ${name} that are still lent`);
    assert.equal(await mustRun("ip", ["-o", "link", "show", "master", bridge]), "");
  }
  assert.doesNotMatch(await mustRun("iptables", ["-t", "nat", "-S"]), new RegExp(String(NODE_PORT)));
}

/** containerd, which makes the file, takes the node's name where a kubelet gives none. */
async function nodesNetwork(context: CriCaseContext): Promise<void> {
  const work = async (pod: CriPod): Promise<void> => {
    const id = await pod.run("named", ["sleep", "1000"]);
    for (const asked of [["hostname"], ["cat", "/etc/hostname"]]) {
      assert.equal(await output(context, id, ...asked), `${hostname()}\n`, asked.join(" "));
    }
  };
  const linux = { securityContext: { namespaceOptions: { network: NODE } } };
  await withPod(context, work, { hostname: "", linux }, classicHandler(context.runtime.name));
}

const probed = "is reached by address, through a port of the node and forwarded, in two networks of CNI plugins";

export const criNetworkCases: readonly Case<CriCaseContext>[] = [
  ...inEachForm(`a pod ${probed}`, reached),
  { name: "CRI: a pod in the node's network has the node's name", run: nodesNetwork },
];
