/** What pods may ask for beyond what containers have: settings of the kernel, and all that the VM can give. */
import assert from "node:assert/strict";
import { runtime } from "../../generated/messages.js";
import type { PodForm } from "../containerd.ts";
import { execSync, inEachForm, output, withPod } from "../cri-case.ts";
import type { Case, CriCaseContext } from "../suite.ts";

const { CONTAINER, NODE, POD } = runtime.v1.NamespaceMode;
/** Of the pod's IPC namespace, but for the last, which is of its network's. */
const SYSCTLS = {
  "kernel.shm_rmid_forced": "1",
  "kernel.msgmax": "65536",
  "fs.mqueue.msg_max": "20",
  "net.ipv4.ip_unprivileged_port_start": "900",
};
const CAP_SYS_ADMIN = 1n << 21n;

async function settingsOfAPod(context: CriCaseContext, handler: string): Promise<void> {
  const settings = async (id: string): Promise<{ readonly [name: string]: string }> => {
    const names = Object.keys(SYSCTLS);
    const files = names.map((name) => `/proc/sys/${name.replaceAll(".", "/")}`);
    const values = (await output(context, id, "cat", ...files)).trim().split("\n");
    return Object.fromEntries(names.map((name, index) => [name, values[index] ?? ""]));
  };
  const linux = { sysctls: SYSCTLS };
  await withPod(
    context,
    async (pod) => {
      const ids = await Promise.all(["one", "two"].map((name) => pod.run(name, ["sleep", "1000"])));
      for (const id of ids) assert.deepEqual(await settings(id), SYSCTLS);
      await withPod(
        context,
        async (neighbour) => {
          const own = await settings(await neighbour.run("one", ["sleep", "1000"]));
          for (const [name, value] of Object.entries(SYSCTLS)) assert.notEqual(own[name], value, name);
        },
        {},
        handler,
      );
    },
    { linux },
    handler,
  );
}

async function privileged(context: CriCaseContext, handler: string, form: PodForm): Promise<void> {
  // With pods of the node's network of its shims' making, containerd 2.1 crashes (containerd/containerd#12983).
  for (const network of form === "shim" ? [POD] : [POD, NODE]) await privilegedOn(context, handler, network);
}

async function privilegedOn(
  context: CriCaseContext,
  handler: string,
  network: runtime.v1.NamespaceMode,
): Promise<void> {
  const asked = { privileged: true, namespaceOptions: { network } };
  await withPod(
    context,
    async (pod) => {
      const run = (name: string, isPrivileged: boolean): Promise<string> =>
        pod.run(name, ["sleep", "1000"], {
          linux: { securityContext: { privileged: isPrivileged, namespaceOptions: { network, pid: CONTAINER } } },
        });
      const powerful = await run("powerful", true);
      const common = await run("common", false);
      const optionsOfSys = async (id: string): Promise<string | undefined> =>
        / \/sys (\S+) /.exec(await output(context, id, "grep", " /sys ", "/proc/self/mountinfo"))?.[1]?.split(",")[0];
      assert.deepEqual([await optionsOfSys(powerful), await optionsOfSys(common)], ["rw", "ro"]);
      const rewrite = ["sh", "-c", "cd /sys/class/net/lo && cat mtu > mtu"];
      assert.deepEqual(await execSync(context, powerful, rewrite), { status: 0, stdout: "", stderr: "" });
      assert.match((await execSync(context, common, rewrite)).stderr, /Read-only file system/);
      const makeGroup = ["sh", "-c", "cd /sys/fs/cgroup; [ ! -d pids ] || cd pids; mkdir own && rmdir own"];
      assert.deepEqual(await execSync(context, powerful, makeGroup), { status: 0, stdout: "", stderr: "" });
      assert.match((await execSync(context, common, makeGroup)).stderr, /Read-only file system/);
      const mayAdminister = async (id: string): Promise<boolean> => {
        const line = await output(context, id, "grep", "CapEff", "/proc/self/status");
        return (BigInt(`0x${line.split("\t")[1]?.trim()}`) & CAP_SYS_ADMIN) !== 0n;
      };
      assert.deepEqual([await mayAdminister(powerful), await mayAdminister(common)], [true, false]);
    },
    // A kubelet names no pod that has the node's network.
    { linux: { securityContext: asked }, ...(network === NODE ? { hostname: "" } : {}) },
    handler,
  );
}

/** With runc, the pause container of 1.7 makes the one file system that a pod's /sys shows read-only for all of it. */
const hasWritableSys = ({ containerd, runtime: { key } }: CriCaseContext): boolean =>
  key !== "runc" || containerd.build.major >= 2;

export const criPrivilegeCases: readonly Case<CriCaseContext>[] = [
  ...inEachForm("settings of a pod's IPC and network are all its containers', and nobody else's", settingsOfAPod),
  ...inEachForm("a privileged container may write where its specification says so", privileged, hasWritableSys),
];
