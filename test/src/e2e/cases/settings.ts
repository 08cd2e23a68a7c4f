/** Settings of a sandbox that its containers feel. */
import assert from "node:assert/strict";
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe } from "@uvm-shim/test-support/command";
import { appendVhdFooter, attachedBelow, makeExt4 } from "@uvm-shim/test-support/disk";
import { layersMount, makeLayer, makeScratch } from "@uvm-shim/test-support/layers";
import { openPolicy, policyAnnotations } from "../../support/open-policy.ts";
import { startTask } from "../containerd-grpc.ts";
import { IMAGE } from "../images.ts";
import type { Case, CaseContext } from "../suite.ts";
import { assertStatus, exec, removeContainer, runContainer } from "./ctr.ts";
import { DEVICE, runWithDevice } from "./devices.ts";

const LCOW = "io.microsoft.virtualmachine.lcow.";
const SHM_SIZE = "io.microsoft.lcow.shm.size-kb";

/** Flags of ctr that hand runtime options over. */
function withOptions(context: CaseContext, toml: string): readonly string[] {
  const file = join(context.scratch, `${context.newId("options")}.toml`);
  writeFileSync(file, toml);
  return ["--runtime-config-path", file];
}

function annotations(values: { readonly [key: string]: string }): string[] {
  return Object.entries(values).flatMap(([key, value]) => ["--annotation", `${key}=${value}`]);
}

const encoded = (text: string): string => Buffer.from(text).toString("base64");

const policyFlags = (policy: string): string[] => annotations(policyAnnotations(policy));

async function policies(context: CaseContext): Promise<void> {
  const look = ["sh", "-c", "cat $UVM_SECURITY_CONTEXT_DIR/security-policy-base64"];
  const open = openPolicy;
  const flags = policyFlags(open);
  const taken = await runContainer(context, { id: context.newId("policy"), flags, command: look });
  assertStatus(taken, 0);
  assert.equal(taken.stdout.toString(), encoded(open));

  const unwanted = [...flags, ...annotations({ [`${LCOW}securitypolicy.env`]: "false" })];
  const command = ["sh", "-c", "echo got $UVM_SECURITY_CONTEXT_DIR"];
  const without = await runContainer(context, { id: context.newId("policy"), flags: unwanted, command });
  assert.equal(without.stdout.toString(), "got\n", describe(without));

  for (const [policy, message] of [
    ['{"allow_all":true}', /it does not begin with \\?"package policy/],
    [
      'package policy\napi_version := "0.1.0"\n',
      /mount_device does not allow everything: this guest enforces no rules, and accepts only a policy that allows everything/,
    ],
    ["policy", /it does not begin with \\?"package policy/],
  ] as const) {
    const id = context.newId("policy");
    const refused = await runContainer(context, { id, flags: policyFlags(policy), command: ["true"] });
    assert.notEqual(refused.status, 0, describe(refused));
    assert.match(refused.stderr, message);
    assert.match(refused.stderr, /while configuring the guest/);
  }
}

/** A host without hardware for it refuses isolated VMs; what was copied for one goes with it. */
async function isolation(context: CaseContext): Promise<void> {
  const folder = join(context.scratch, context.newId("boot"));
  mkdirSync(folder);
  for (const name of ["kernel.vmgs", "rootfs.vhd"]) writeFileSync(join(folder, name), name);
  const flags = annotations({
    [`${LCOW}securitypolicy`]: encoded(openPolicy),
    "io.microsoft.virtualmachine.bootfilesrootpath": folder,
  });
  const refused = await runContainer(context, { id: context.newId("isolated"), flags, command: ["true"] });
  assert.notEqual(refused.status, 0, describe(refused));
  assert.match(refused.stderr, /VirtualMachine\.GuestState: isolation is not supported by the emulated host/);
  assert.match(refused.stderr, /ERROR_NOT_SUPPORTED/);
}

async function gpuDrivers(context: CaseContext): Promise<void> {
  const folder = join(context.scratch, context.newId("drivers"));
  mkdirSync(join(folder, "contents"), { recursive: true });
  writeFileSync(join(folder, "contents", "driver"), "driver of the GPU\n");
  const disk = join(folder, "gpu.vhd");
  await makeExt4(disk, 4, join(folder, "contents"));
  appendVhdFooter(disk);
  const mounts = [{ destination: "/drivers", type: "bind", source: "uvm:///run/nvidia", options: ["rbind"] }];
  const args = ["sh", "-c", "cat /drivers/driver; echo x 2>&1 >/drivers/x"];
  const device = { device: DEVICE, idType: "gpu", mounts, args };
  const named = withOptions(context, `GPUVHDPath = "${disk}"`);
  const result = await runWithDevice(context, { id: context.newId("gpu"), ...device }, ["--rm", ...named]);
  assert.match(result.stdout.toString(), /^driver of the GPU\n.*Read-only file system/s, describe(result));
  assert.deepEqual(attachedBelow(folder), []);

  const missing = withOptions(context, 'GPUVHDPath = "/none.vhd"');
  const refused = await runWithDevice(context, { id: context.newId("gpu"), ...device }, ["--rm", ...missing]);
  assert.notEqual(refused.status, 0, describe(refused));
  assert.match(refused.stderr, /GPU driver disk \/none\.vhd is missing, expected a file/);
}

async function sharedScratch(context: CaseContext): Promise<void> {
  const { containerd, runtime } = context;
  const folder = join(context.scratch, context.newId("shared"));
  mkdirSync(folder);
  const layer = await makeLayer(join(folder, "layer"), context.images.rootfs);
  const endpoint = { socket: containerd.address, namespace: containerd.namespace };
  const options = withOptions(context, "share_scratch = true");
  const [pod, ...members] = ["shared", "member", "member"].map((stem) => context.newId(stem)) as [
    string,
    string,
    string,
  ];
  const start = async (id: string, flags: readonly string[]): Promise<void> => {
    const scratch = await makeScratch(join(folder, id));
    const create = ["container", "create", "--runtime", runtime.name, ...flags, IMAGE, id, "sleep", "1000"];
    await containerd.mustCtr(create);
    await startTask(endpoint, id, layersMount(scratch, [layer]));
  };
  const shell = (id: string, script: string) => exec(context, id, ["sh", "-c", script]);
  const disks = [join(folder, "layer", "layer.vhd"), join(folder, pod, "sandbox.vhd")].sort();
  const ids: string[] = [];
  try {
    for (const id of [pod, ...members]) {
      ids.unshift(id);
      await start(id, id === pod ? options : ["--annotation", `io.uvm-shim.sandbox-id=${pod}`]);
      assertStatus(await shell(id, `test ! -e /own && echo ${id} > /own`), 0);
      assert.deepEqual(attachedBelow(folder), disks, "there is one scratch disk");
    }
    for (const id of ids) assert.equal((await shell(id, "cat /own")).stdout.toString(), `${id}\n`);
    // What a container wrote goes with it, though the disk stays: another of its name begins anew.
    const [again] = members;
    await removeContainer(context, again);
    ids.splice(ids.indexOf(again), 1);
    await containerd.ctr(["snapshots", "delete", again]);
    ids.unshift(again);
    await containerd.mustCtr([
      "container",
      "create",
      "--runtime",
      runtime.name,
      "--annotation",
      `io.uvm-shim.sandbox-id=${pod}`,
      IMAGE,
      again,
      "sleep",
      "1000",
    ]);
    await startTask(endpoint, again, layersMount(join(folder, again), [layer]));
    assertStatus(await shell(again, "test ! -e /own"), 0);
  } finally {
    for (const id of ids) await removeContainer(context, id);
  }
  assert.deepEqual(attachedBelow(folder), []);
}

/** What holds for all containers, unless one says otherwise. */
async function defaultAnnotations(context: CaseContext): Promise<void> {
  const options = withOptions(context, `DefaultContainerAnnotations = { "${SHM_SIZE}" = "1024" }`);
  const sizeWith = async (own: { readonly [key: string]: string }): Promise<string> => {
    const command = ["sh", "-c", "df -k /dev/shm | tail -1 | awk '{ print $2 }'"];
    const flags = [...options, ...annotations(own)];
    const result = await runContainer(context, { id: context.newId("shm"), flags, command });
    assertStatus(result, 0);
    return result.stdout.toString().trim();
  };
  assert.equal(await sizeWith({}), "1024");
  assert.equal(await sizeWith({ [SHM_SIZE]: "2048" }), "2048");
}

/** Quotas are processor time, which is the same in a VM of fewer processors. */
async function unscaledLimits(context: CaseContext): Promise<void> {
  const look = "cat /sys/fs/cgroup/cpu/cpu.cfs_quota_us 2>/dev/null || cut -d' ' -f1 /sys/fs/cgroup/cpu.max";
  const flags = [
    ...withOptions(context, "scale_cpu_limits_to_sandbox = true\nvm_processor_count = 1"),
    ...["--cpu-quota", "50000", "--cpu-period", "100000"],
    ...["--mount", "type=cgroup,src=cgroup,dst=/sys/fs/cgroup,options=ro"],
  ];
  const result = await runContainer(context, { id: context.newId("quota"), flags, command: ["sh", "-c", look] });
  assert.equal(result.stdout.toString(), "50000\n", describe(result));
}

const onUtilityVms = (context: CaseContext): boolean => context.runtime.key === "lcow";

export const settingCases: readonly Case[] = [
  {
    name: "a policy that allows everything is reported, and any other is refused",
    applies: onUtilityVms,
    run: policies,
  },
  { name: "an isolated VM is refused by a host without the hardware for it", applies: onUtilityVms, run: isolation },
  { name: "a disk with drivers for GPUs, where the guest looks for them", applies: onUtilityVms, run: gpuDrivers },
  {
    name: "a scratch disk that a pod shares",
    applies: ({ containerd, runtime }) => containerd.build.major >= 2 && runtime.key === "lcow",
    run: sharedScratch,
  },
  { name: "annotations that hold for all containers", applies: onUtilityVms, run: defaultAnnotations },
  { name: "a limit of processors that no option scales", applies: onUtilityVms, run: unscaledLimits },
];
