/** Run under Wine: the messages that an operator of Windows gets when something is missing or wrong. */
import { appendFileSync, copyFileSync, cpSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import path from "node:path";
import { type StatusName, TtrpcError } from "@uvm-shim/ttrpc";
import { afterEach, describe, expect, it } from "vitest";
import { Pod } from "../shim-client/pod.ts";
import { runDelete, Sandbox } from "../shim-client/shim.ts";
import { casePaths, podPaths } from "./case-paths.ts";
import { connect, ShimProcess } from "./shim-process.ts";
import { hostEnvironment, podOptions, runtimeOptions, startContainer } from "./windows-pod.ts";

let pod: Pod | undefined;

afterEach(async () => {
  await pod?.abandon();
  pod = undefined;
});

/** What is thrown when the work is refused for that reason. */
function refusal(code: StatusName, message: string | RegExp) {
  const words = typeof message === "string" ? expect.stringContaining(message) : expect.stringMatching(message);
  return expect.objectContaining({ constructor: TtrpcError, code, message: words });
}

const none = { runtimeOptions: runtimeOptions() };

/** Why CreateSandbox is refused, and what `delete` says then. */
async function refusedPod(id: string, options: ConstructorParameters<typeof ShimProcess>[1]) {
  const shim = new ShimProcess(id, options);
  const client = await connect(await shim.start());
  const creation = client.call(Sandbox, "CreateSandbox", { sandboxId: id, bundlePath: shim.bundle });
  const error: unknown = await creation.catch((reason: unknown) => reason);
  client.close();
  return { error, deletion: await shim.delete() };
}

describe("a pod is refused", () => {
  it("where boot files are missing, with the paths of the files that were tried", async () => {
    const folder = path.join(casePaths().directory, "no-boot-files");
    const options = { environment: hostEnvironment(), runtimeOptions: runtimeOptions(folder) };
    const { error, deletion } = await refusedPod("bootless", options);
    const files = ["vmlinux", "kernel"].map((name) => path.join(folder, name)).join(" or ");
    expect(error).toEqual(refusal("InvalidArgument", `there is no file ${files}`));
    expect(error).toEqual(refusal("InvalidArgument", "boot_files_root_path"));
    expect(deletion).toMatchObject({ status: 0, stderr: "" });
  });

  it("where a DLL of the host is missing, with the required build of Windows", async () => {
    const environment = hostEnvironment(librariesWithout("computenetwork.dll"));
    const { error, deletion } = await refusedPod("no-dll", { ...none, environment });
    const words = "computenetwork.dll: cannot load the library: expected Windows build 17763 or later";
    expect(error).toEqual(refusal("Unavailable", words));
    expect(deletion).toMatchObject({ status: 1, stderr: expect.stringContaining(words) });
  });

  it("where a DLL does not have an export, with the Windows that has it", async () => {
    const environment = hostEnvironment(librariesWithoutExport("computecore.dll", "HcsCreateComputeSystem"));
    const { error } = await refusedPod("no-export", { ...none, environment });
    const words =
      /HcsCreateComputeSystem: .*computecore\.dll does not export this function: expected Windows build 17763 or later/;
    expect(error).toEqual(refusal("Unimplemented", words));
  });

  it.each([
    ["another-host", "emulator:C:\\somewhere"],
    ["relative-host", "libraries:some\\folder"],
  ])("where UVM_SHIM_HOST is that of %s, by start already", async (id, host) => {
    const shim = new ShimProcess(id, { ...none, environment: { UVM_SHIM_HOST: host } });
    const accepted = `UVM_SHIM_HOST: invalid value ${JSON.stringify(host)}: expected "none", "libraries:C:\\full\\path\\of\\folder" or no value`;
    const start = await shim.run(["start"]);
    expect(start).toMatchObject({ status: 2, stderr: expect.stringContaining(accepted) });
    expect(readdirSync(shim.bundle)).toEqual(["config.json"]);
    expect(await shim.delete()).toMatchObject({ status: 1, stderr: expect.stringContaining(accepted) });
  });

  it("where UVM_SHIM_HOST forbids any host", async () => {
    const { error, deletion } = await refusedPod("no-host", { ...none, environment: { UVM_SHIM_HOST: "none" } });
    expect(error).toEqual(refusal("Unavailable", "UVM_SHIM_HOST=none forbids any host"));
    expect(deletion).toMatchObject({ status: 0, stderr: "" });
  });
});

describe("a container is refused", () => {
  it("where its snapshot is of a kind that Windows cannot mount", async () => {
    pod = await Pod.run(podOptions("snapshots"));
    const rootfs = [{ type: "windows-layer", source: "C:\\layers\\1", options: [] }];
    const creation = pod.createContainer({ id: "unmountable", args: ["true"], rootfs });
    await expect(creation).rejects.toEqual(refusal("Unimplemented", "windows-layer"));
    await expect(creation).rejects.toEqual(refusal("Unimplemented", "expected lcow-layer"));
  });

  it("where its layer is missing, with the path of the file", async () => {
    pod = await Pod.run(podOptions("layers"));
    const missing = path.join(casePaths().directory, "no-layer");
    const rootfs = [
      { type: "lcow-layer", source: missing, options: [`parentLayerPaths=${JSON.stringify([missing])}`] },
    ];
    const creation = pod.createContainer({ id: "layerless", args: ["true"], rootfs });
    await expect(creation).rejects.toEqual(refusal("NotFound", path.join(missing, "layer.vhd")));
  });
});

describe("delete after a panic", () => {
  it("reports the last output of native code", async () => {
    const libraries = copyOfLibraries("failing");
    copyFileSync(podPaths().failingCore, path.join(libraries, "computecore.dll"));
    const shim = new ShimProcess("panicked", { ...none, environment: hostEnvironment(libraries) });
    const client = await connect(await shim.start());
    const creation = client.call(Sandbox, "CreateSandbox", { sandboxId: shim.id, bundlePath: shim.bundle });
    await expect(creation).rejects.toEqual(refusal("Unavailable", "the connection ended"));
    const { status, stderr } = await runDelete({ ...shim.identity, environment: hostEnvironment() });
    expect({ status, stderr }).toEqual({
      status: 0,
      stderr: expect.stringContaining("shim of panicked wrote before it ended: computecore: the heap is damaged"),
    });
  });

  it("removes what was left", async () => {
    pod = await Pod.run(podOptions("left-by-panic"));
    const container = await startContainer(pod, { id: "of-panic", args: ["sleep", "1000"] });
    process.kill(await pod.shimPid(), "SIGKILL");
    await pod.shim.closed;
    appendFileSync(path.join(pod.identity.bundle, "panic.log"), "FATAL ERROR: no memory\n");
    const { status, stderr } = await runDelete(pod.identity);
    expect({ status, stderr }).toEqual({
      status: 0,
      stderr: "shim of left-by-panic wrote before it ended: FATAL ERROR: no memory\n",
    });
    container.stdio.close();
  });
});

function copyOfLibraries(name: string): string {
  const folder = path.join(casePaths().directory, `libraries-${name}`);
  cpSync(podPaths().libraries, folder, { recursive: true });
  return folder;
}

function librariesWithout(library: string): string {
  const folder = copyOfLibraries(library);
  rmSync(path.join(folder, library));
  return folder;
}

/** With another name for the export, of the same length and at the same place in their order. */
function librariesWithoutExport(library: string, name: string): string {
  const folder = copyOfLibraries(name);
  const file = path.join(folder, library);
  const bytes = readFileSync(file);
  bytes.write(`${name.slice(0, -1)}_`, bytes.lastIndexOf(`\0${name}\0`) + 1, "latin1");
  writeFileSync(file, bytes);
  return folder;
}
