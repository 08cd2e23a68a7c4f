/** Networks that containers name themselves, which containerd's own client cannot write into a specification. */
import assert from "node:assert/strict";
import { mkdirSync } from "node:fs";
import { hostname } from "node:os";
import { join } from "node:path";
import { mustRun } from "@uvm-shim/test-support/command";
import { runtime } from "../../generated/messages.js";
import { Pod } from "../../shim-client/pod.ts";
import { Sandbox } from "../../shim-client/shim.ts";
import type { Specification } from "../../shim-client/spec.ts";
import { withNetworks } from "../networks.ts";
import {
  assertRefused,
  directoryRootfs,
  type ProtocolCase,
  type ProtocolCaseContext,
  runToEnd,
  withPod,
} from "./protocol.ts";

const SIGKILL = 9;

async function ownNetwork(context: ProtocolCaseContext): Promise<void> {
  const rootfs = directoryRootfs(context);
  const args = ["ip", "-o", "-4", "addr", "show"];
  const address = (IpAddress: string) => ({ IpConfigurations: [{ IpAddress, PrefixLength: 24 }] });
  await withNetworks(async (plan) => {
    const network = await plan.network("own", "10.31.0.0/24", "10.32.0.0/24");
    const namespace = await plan.namespace();
    const first = await plan.endpoint(namespace, network, { Name: "eth0", ...address("10.31.0.2") });
    await withPod(context, async (pod) => {
      const interfaces = async (id: string, networkNamespace?: string): Promise<readonly string[]> => {
        const own = networkNamespace === undefined ? {} : { networkNamespace };
        const { status, stdout, stderr } = await runToEnd(await pod.createContainer({ id, args, rootfs, ...own }));
        assert.deepEqual({ status, stderr }, { status: 0, stderr: "" });
        return [...stdout.matchAll(/(eth\d+)\S* +inet (\S+)/g)].map(([, name, inet]) => `${name} ${inet}`);
      };
      assert.deepEqual(await interfaces("before"), []);
      assert.deepEqual(await interfaces("first", namespace), ["eth0 10.31.0.2/24"]);
      // A guest takes no NIC beside one that a container has already.
      const later = await plan.endpoint(namespace, network, { Name: "eth1", ...address("10.32.0.2") });
      assert.deepEqual(await interfaces("second"), ["eth0 10.31.0.2/24"]);
      await plan.removeEndpoint(first);
      assert.deepEqual(await interfaces("third", namespace.toUpperCase()), ["eth0 10.32.0.2/24"]);
      await plan.removeEndpoint(later);
      assert.deepEqual(await interfaces("fourth", namespace), []);
      const other = await plan.namespace();
      const foreign = { id: "foreign", args, rootfs, networkNamespace: other };
      await assertRefused(pod.createContainer(foreign), "InvalidArgument", other, namespace);
    });
  });
}

async function badNetwork(context: ProtocolCaseContext): Promise<void> {
  const rootfs = directoryRootfs(context);
  await withNetworks(async (plan) => {
    const namespace = await plan.namespace();
    await plan.endpoint(namespace, await plan.network("bad"), { Name: "unaddressed" });
    await withPod(context, async (pod) => {
      const create = (networkNamespace: string) =>
        pod.createContainer({ id: "one", args: ["true"], rootfs, networkNamespace });
      await assertRefused(create("pod"), "InvalidArgument", "windows.network.networkNamespace", "GUID");
      await assertRefused(create(namespace), "InvalidArgument", "unaddressed", "IpConfigurations is empty");
    });
  });
}

/** Each has a network adapter of its own in the network. */
async function twoPods(context: ProtocolCaseContext): Promise<void> {
  const { executable, environment, signal } = context;
  const rootfs = directoryRootfs(context);
  await withNetworks(async (plan) => {
    const network = await plan.network("shared", "10.33.0.0/24");
    const ofPod = async (number: number) => {
      const networkNamespace = await plan.namespace();
      const IpAddress = `10.33.0.${number}`;
      await plan.endpoint(networkNamespace, network, {
        ...{ Name: "eth0", IpConfigurations: [{ IpAddress, PrefixLength: 24 }] },
      });
      return networkNamespace;
    };
    const pods: Pod[] = [];
    const run = async (number: number): Promise<{ readonly pod: Pod; readonly networkNamespace: string }> => {
      const directory = join(context.directory, `${number}`);
      mkdirSync(directory, { recursive: true });
      const networkNamespace = await ofPod(number);
      const pod = await Pod.run({ executable, environment, directory, signal, id: `pod-${number}` });
      pods.push(pod);
      return { pod, networkNamespace };
    };
    try {
      const [server, client] = await Promise.all([run(2), run(3)]);
      const serve = ["sh", "-c", "echo ready; while :; do echo from the other pod | nc -l -p 8080 || sleep 1; done"];
      const listening = await server.pod.createContainer({
        ...{ id: "server", args: serve, rootfs, networkNamespace: server.networkNamespace },
      });
      await listening.start();
      const ask = [
        "for i in $(seq 100); do nc 10.33.0.2 8080 </dev/null 2>/dev/null && break; sleep 0.2; done",
        "nc -w 2 10.33.0.9 8080 </dev/null 2>/dev/null || echo alone",
      ].join("; ");
      const asking = await client.pod.createContainer({
        ...{ id: "client", args: ["sh", "-c", ask], rootfs, networkNamespace: client.networkNamespace },
      });
      const { status, stdout } = await runToEnd(asking);
      assert.deepEqual({ status, stdout }, { status: 0, stdout: "from the other pod\nalone\n" });
      await listening.kill(SIGKILL);
      await listening.wait();
      await listening.delete();
      for (const pod of pods) await pod.remove();
    } finally {
      for (const pod of pods) await pod.abandon();
    }
  });
}

const { NODE } = runtime.v1.NamespaceMode;

/** Each of them is the caller's mistake, and no pod may seem to have its addresses. */
async function foreignNetworks(context: ProtocolCaseContext): Promise<void> {
  const { directory } = context;
  mkdirSync(directory, { recursive: true });
  const pipe = join(directory, "pipe");
  await mustRun("mkfifo", [pipe]);
  const itself = `/proc/${process.pid}/ns`;
  for (const [netnsPath, why] of [
    [join(directory, "missing"), "does not exist"],
    [pipe, "is not a namespace"],
    [`${itself}/uts`, "is a namespace of another type"],
    [`${itself}/net`, "is the network namespace of this machine"],
  ] as const) {
    const nobody = withPod(context, async () => assert.fail(`${netnsPath} was taken`), { netnsPath });
    await assertRefused(nobody, "InvalidArgument", "netns_path", netnsPath, why);
  }
}

async function networkOfAnother(context: ProtocolCaseContext): Promise<void> {
  const path = "/run/netns/another";
  const change = ({ linux, ...specification }: Specification): object => ({
    ...specification,
    linux: { ...linux, namespaces: [{ type: "mount" }, { type: "network", path }] },
  });
  await withPod(context, async (pod) => {
    const options = { id: "one", args: ["true"], rootfs: directoryRootfs(context), change };
    await assertRefused(pod.createContainer(options), "InvalidArgument", "linux.namespaces[1].path", path);
  });
}

async function nodesNetwork(context: ProtocolCaseContext): Promise<void> {
  const configuration = { linux: { securityContext: { namespaceOptions: { network: NODE } } } };
  const work = async (pod: Pod): Promise<void> => {
    const args = ["sh", "-c", "hostname; cat /etc/hostname"];
    const { pid } = await pod.shim.call(Sandbox, "SandboxStatus", { sandboxId: "pod" });
    const change = ({ linux, ...specification }: Specification): object => ({
      ...specification,
      linux: { ...linux, namespaces: [{ type: "mount" }, { type: "uts", path: `/proc/${pid}/ns/uts` }] },
    });
    const { status, stdout } = await runToEnd(
      await pod.createContainer({ id: "one", args, rootfs: directoryRootfs(context), change }),
    );
    assert.deepEqual({ status, stdout }, { status: 0, stdout: `${hostname()}\n`.repeat(2) });
  };
  await withPod(context, work, { configuration });
}

export const protocolNetworkCases: readonly ProtocolCase[] = [
  { name: "a container names its network, and later ones find it as it is by then", run: ownNetwork },
  { name: "two pods in one network reach each other", run: twoPods },
  { name: "networks that no pod can have are refused with the reason", run: badNetwork },
  { name: "a netns_path that leads to no network of a pod is refused with the reason", run: foreignNetworks },
  { name: "a pod in the host's network has the host's name", run: nodesNetwork },
  { name: "a container in a network of the host's that is not its pod's is refused", run: networkOfAnother },
];
