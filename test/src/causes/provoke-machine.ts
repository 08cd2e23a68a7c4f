/** Machines on which a pod fails: hosts, containerd, the shim itself. */
import { rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { mustRun } from "@uvm-shim/test-support/command";
import { layersMount, makeScratch } from "@uvm-shim/test-support/layers";
import { linuxSpecs } from "../shim-client/spec.ts";
import { makeLoadedShim } from "../support/loaded-shim.ts";
import { findServers } from "../support/servers.ts";
import { poll } from "../support/wait.ts";
import { type Bench, wrapped } from "./bench.ts";
import type { Provocation } from "./provocation.ts";

async function withDisk(bench: Bench, name = "scratch") {
  return [layersMount(await makeScratch(join(bench.directory, name)), [bench.images.layer])];
}

export const machineEnds: readonly Provocation[] = [
  {
    cause: "host-forbidden",
    name: "UVM_SHIM_HOST=none",
    says: /^The pod's VM was not created: this machine has no host compute service, and UVM_SHIM_HOST=none forbids/,
    proof: /connect failed with Unavailable/,
    run: (bench) => bench.failingPod({ environment: { UVM_SHIM_HOST: "none" } }),
  },
  {
    cause: "host-service-absent",
    name: "UVM_SHIM_HOST names a socket that nobody serves",
    says: /^The pod's VM was not created: no host service listens on \S+no\.sock\.$/,
    proof: /no\.sock accepts no connections now/,
    run: (bench) => bench.failingPod({ environment: { UVM_SHIM_HOST: `unix:${bench.directory}/no.sock` } }),
  },
  {
    cause: "host-service-lost",
    name: "the emulated host is killed",
    says: /^The host compute service was lost while the VM ran/,
    proof: /host service lost .*the host closed the connection/,
    run: async (bench) => {
      await bench.running();
      process.kill(findServers()["emulated host"], "SIGKILL");
    },
  },
  {
    cause: "host-service-lost",
    also: ["program-not-found"],
    name: "the emulated host is killed after a container could not be made",
    run: async (bench) => {
      await bench.failingContainer({ args: ["/usr/bin/nothing"] });
      process.kill(findServers()["emulated host"], "SIGKILL");
    },
  },
  {
    cause: "host-silent",
    name: "the emulated host is stopped, and a disk is to be attached",
    says: /^The host compute service has not answered \w+ for \d+ s, on which Create waits\.$/,
    proof: /Task\/Create began \(container_id c1\)/,
    later: 60,
    run: async (bench) => {
      const pod = await bench.pod();
      const rootfs = await withDisk(bench);
      const host = findServers()["emulated host"];
      process.kill(host, "SIGSTOP");
      bench.atEnd(() => process.kill(host, "SIGCONT"));
      void bench.container(pod, { rootfs }).catch(() => {});
    },
  },
  {
    cause: "containerd-gone",
    name: "the socket of events is closed, and a container ends",
    says: /^containerd has taken no events of the pod for \d+ s, the first of them \/tasks\/\w+/,
    proof: /events\.sock accepts no connections/,
    run: async (bench) => {
      const { pod, container } = await bench.running();
      await pod.sink.close();
      rmSync(pod.identity.eventSocket, { force: true });
      await container.kill(9);
      await container.wait();
    },
  },
  {
    cause: "shim-silent",
    name: "SIGSTOP",
    says: /^The shim of the pod \(pid \d+\) runs, and does not answer\.$/,
    proof: /^process \d+ is stopped$/,
    later: 60,
    run: async (bench) => {
      const { pod } = await bench.running();
      const shim = await pod.shimPid();
      process.kill(shim, "SIGSTOP");
      bench.atEnd(() => process.kill(shim, "SIGCONT"));
    },
  },
  {
    cause: "shim-unreachable",
    name: "its socket is removed",
    says: /^The shim of the pod \(pid \d+\) runs, and nothing serves its socket \/\S+\.$/,
    later: 60,
    run: async (bench) => {
      await bench.running();
      const header = bench.lines.find((line) => line.type === "header");
      rmSync(header?.socket ?? "");
    },
  },
  {
    cause: "shim-killed",
    name: "SIGKILL",
    says: /^The shim of the pod \(pid \d+\) was killed/,
    proof: /^its last line: /,
    run: async (bench) => {
      const { pod } = await bench.running();
      process.kill(await pod.shimPid(), "SIGKILL");
    },
  },
  {
    cause: "shim-crashed",
    name: "an exception that nobody catches",
    says: /^The shim of the pod crashed: provoked by a test\.$/,
    proof: /shim crashed .*Error: provoked by a test/,
    run: async (bench) => {
      const module = join(bench.directory, "fault.cjs");
      const fault =
        'if (process.argv.includes("-socket")) process.on("SIGUSR2", () => { throw new Error("provoked by a test"); });';
      writeFileSync(module, fault);
      const { pod } = await bench.running(
        {},
        { executable: makeLoadedShim(bench.folder("loaded"), `file://${module}`) },
      );
      process.kill(await pod.shimPid(), "SIGUSR2");
    },
  },
  {
    cause: "descriptors-exhausted",
    name: "a limit of open files that start needs",
    says: /^The shim did not start: the limit of open files \(ulimit -n\) is reached\.$/,
    proof: /EMFILE/,
    run: (bench) => bench.failingPod({ executable: wrapped(bench, "ulimit -n 34") }),
  },
  {
    cause: "host-disk-full",
    name: "the file system of the bundle is full",
    says: /^The shim did not start: a disk of the host is full\./,
    proof: /ENOSPC/,
    run: async (bench) => {
      const folder = bench.folder("p");
      await mustRun("mount", ["-t", "tmpfs", "-o", "size=64k", "tmpfs", folder]);
      bench.atEnd(() => mustRun("umount", ["--lazy", folder]));
      await bench.failingPod({ executable: wrapped(bench, "head -c 1000000 /dev/zero > fill 2>/dev/null") });
    },
  },
  {
    cause: "socket-folder-unusable",
    name: "UVM_SHIM_SOCKET_DIRECTORY is a file",
    says: /^The shim did not start: it cannot make its socket \S+ \((?:EACCES|ENOTDIR)\)\.$/,
    run: (bench) =>
      bench.failingPod({ environment: { UVM_SHIM_SOCKET_DIRECTORY: join(bench.images.rootfs, "etc", "passwd") } }),
  },
  {
    cause: "shim-did-not-start",
    name: "the serving process dies at once",
    says: /^The shim did not start: its serving process exited with code 7 before it accepted connections/,
    run: async (bench) => {
      const module = join(bench.directory, "fault.cjs");
      writeFileSync(module, 'if (process.argv.includes("-socket")) process.exit(7);');
      await bench.failingPod({ executable: makeLoadedShim(bench.folder("loaded"), `file://${module}`) });
    },
  },
  {
    cause: "control-group",
    name: "a cgroup that leads upwards",
    says: /^The pod's VM was not created: its control group \S+ cannot be used \(cgroup .* leads upwards/,
    run: (bench) => {
      const sandbox = () => ({ ociVersion: "1.1.0", linux: { cgroupsPath: "/a/../../b" } });
      return bench.failingPod({ specs: { ...linuxSpecs, sandbox } });
    },
  },
  {
    cause: "namespace-gone",
    name: "a network namespace of the host that does not exist",
    says: /^The pod's VM was not created: its network namespace is gone \(\/run\/netns\/gone\)\.$/,
    proof: /joinNetworkNamespace failed/,
    run: (bench) => bench.failingPod({ netnsPath: "/run/netns/gone" }),
  },
  {
    cause: "namespace-gone",
    name: "a network namespace that HCN does not know",
    says: /^Container c1 was not created: its network namespace is gone \(namespace 0f0f0f0f-/,
    proof: /queryNamespace failed/,
    run: (bench) => bench.failingContainer({ networkNamespace: "0f0f0f0f-1111-4222-8333-444444444444" }),
  },
  {
    cause: "program-of-machine-missing",
    name: "no mount(8) in the PATH of containerd",
    says: /^Container c1 was not created: mount is not installed, or not in the PATH of the shim\.$/,
    proof: /spawn mount ENOENT/,
    run: (bench) => bench.failingContainer({}, { environment: { PATH: bench.folder("path") } }),
  },
  {
    cause: "request-hangs",
    name: "a logging program that does not begin",
    says: /^Create has waited for \d+ s, in open the client's stdio\.$/,
    later: 60,
    run: async (bench) => {
      const program = join(bench.directory, "logger");
      writeFileSync(program, "#!/bin/sh\nexec sleep 30\n", { mode: 0o755 });
      const pod = await bench.pod();
      void bench.container(pod, { stdout: `binary://${program}` }).catch(() => {});
      const isAt = () =>
        bench.lines.some(
          (line) => line.type === "began" && line.name === "open the client's stdio" && line.attributes?.id === "c1",
        ) || undefined;
      await poll("the logging program", isAt, { timeoutMs: 10_000 });
    },
  },
];
