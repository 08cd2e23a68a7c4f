/** What comes from containerd and from whoever configures it. */

import { checkOciSpec, checkOciWindowsSpec } from "@uvm-shim/hcs-schema";
import { containerd, runtimeoptions } from "@uvm-shim/shim/protocol";
import { parseStartInput } from "../../../../../packages/shim/src/program/bootstrap.ts";
import { parseCommand } from "../../../../../packages/shim/src/program/flags.ts";
import { checkIdentifier } from "../../../../../packages/shim/src/program/identifiers.ts";
import { readPodConfiguration } from "../../../../../packages/shim/src/program/pod-configuration.ts";
import { decodeFields } from "../../../../../packages/shim/src/program/protobuf-wire.ts";
import { readResourceUpdate } from "../../../../../packages/shim/src/services/resource-update.ts";
import { parseUri } from "../../../../../packages/shim/src/system/stdio-posix.ts";
import { decodeMessage } from "../../../../../packages/ttrpc/src/codec.ts";
import { FrameDecoder } from "../../../../../packages/ttrpc/src/frame.ts";
import { ttrpc } from "../../../../../packages/ttrpc/src/generated/messages.js";
import { runtime } from "../../../generated/messages.js";
import { jsonSubject, type Subject, textSubject } from "../subject.ts";
import { specificationSeed, windowsSpecificationSeed } from "./seeds.ts";

const mostBytes = 64 * 1024;
const { Task } = containerd.task.v3;
const { Sandbox } = containerd.runtime.sandbox.v1;

const requestTypes = [...Object.values(Task.methods), ...Object.values(Sandbox.methods)].map(({ request }) => request);

function ttrpcFrame(streamId: number, type: number, payload: Uint8Array): Buffer {
  const header = Buffer.alloc(10);
  header.writeUInt32BE(payload.length, 0);
  header.writeUInt32BE(streamId, 4);
  header.writeUInt8(type, 8);
  return Buffer.concat([header, payload]);
}

const create = Task.methods.Create.request
  .encode({
    ...{ id: "c", bundle: "/run/b", stdin: "/in", stdout: "fifo:///out", terminal: true },
    rootfs: [{ type: "bind", source: "/r", options: ["ro"] }],
    options: { type_url: "containerd.runhcs.v1.Options", value: Buffer.from([8, 1]) },
  })
  .finish();

const ttrpcRequest = ttrpc.Request.encode({
  ...{ service: "containerd.task.v3.Task", method: "Create", payload: create, timeoutNano: 5 },
  metadata: [{ key: "k", value: "v" }],
}).finish();

const options = containerd.runhcs.v1.Options.encode({
  ...{ debug: true, sandboxImage: "i", vmProcessorCount: 2, vmMemorySizeInMb: 512, logLevel: "debug" },
  defaultContainerAnnotations: { a: "b" },
}).finish();

const any = Buffer.concat([
  Buffer.from([10, 28]),
  Buffer.from("containerd.runhcs.v1.Options"),
  Buffer.from([18, options.length]),
  options,
]);

const podConfiguration = runtime.v1.PodSandboxConfig.encode({
  ...{ hostname: "pod", annotations: { a: "b" }, labels: { c: "d" } },
  metadata: { name: "n", namespace: "ns", uid: "u", attempt: 1 },
  linux: { cgroupParent: "/kubepods/x", resources: { memoryLimitInBytes: 5 } },
}).finish();

export const containerdSubjects: readonly Subject[] = [
  {
    name: "ttrpc-frames",
    seeds: [
      Buffer.concat([ttrpcFrame(1, 1, ttrpcRequest), ttrpcFrame(3, 3, create), ttrpcFrame(3, 2, Buffer.alloc(3))]),
    ],
    refusals: ["TtrpcError"],
    decode: (input) => {
      const decoder = new FrameDecoder(mostBytes);
      for (let at = 0; at < input.length; at += 41) {
        decoder.push(input.subarray(at, at + 41));
        while (decoder.next() !== undefined) {
          // Until there is none.
        }
      }
    },
  },
  {
    name: "ttrpc-requests",
    seeds: [ttrpcRequest],
    refusals: ["TtrpcError"],
    decode: (input) => decodeMessage(ttrpc.Request, input, "it", "InvalidArgument"),
  },
  {
    name: "task-and-sandbox-requests",
    seeds: [create],
    refusals: ["TtrpcError"],
    decode: (input) => {
      const type = requestTypes[(input[0] ?? 0) % requestTypes.length];
      if (type === undefined) return;
      for (const one of [type, Task.methods.Create.request]) {
        try {
          decodeMessage(one as never, input, "it", "InvalidArgument");
        } catch (error) {
          if ((error as Error).name !== "TtrpcError") throw error;
        }
      }
    },
  },
  { name: "protobuf-fields", seeds: [any, options, create], refusals: ["Error"], decode: decodeFields },
  {
    name: "runtime-options",
    seeds: [options],
    refusals: ["TtrpcError"],
    decode: (input) => {
      for (const type of [containerd.runhcs.v1.Options, runtimeoptions.v1.Options]) {
        try {
          decodeMessage(type as never, input, "it", "InvalidArgument");
        } catch (error) {
          if ((error as Error).name !== "TtrpcError") throw error;
        }
      }
    },
  },
  {
    name: "start-input",
    seeds: [
      any,
      containerd.runtime.bootstrap.v1.BootstrapParams.encode({
        ...{ instanceId: "pod", namespace: "ns", containerdTtrpcAddress: "/a", containerdGrpcAddress: "/b" },
        extensions: [{ value: { type_url: "containerd.runhcs.v1.Options", value: options } }],
      }).finish(),
    ],
    refusals: ["ShimError"],
    decode: (input) => parseStartInput(input, { id: "pod", namespace: "ns" }),
  },
  {
    name: "pod-configuration",
    seeds: [podConfiguration],
    refusals: ["ShimError"],
    decode: (input) => readPodConfiguration(input),
  },
  {
    name: "resource-updates",
    seeds: [specificationSeed.linux.resources, { fragment: "YQ==", mediaType: "m" }],
    refusals: ["ShimError"],
    decode: (value) => {
      for (const type of ["LinuxResources", "PolicyFragment"]) {
        const type_url =
          type === "PolicyFragment" ? "x/ctrdtaskapi/PolicyFragment" : `x/opencontainers/runtime-spec/1/${type}`;
        readResourceUpdate("c", { type_url, value }, {});
      }
    },
  },
  jsonSubject("oci-specification", [specificationSeed], (value) => checkOciSpec(value, "config.json")),
  jsonSubject("oci-specification-of-windows", [windowsSpecificationSeed], (value) =>
    checkOciWindowsSpec(value, "config.json"),
  ),
  textSubject(
    "stdio-uris",
    ["/run/fifo", "fifo:///run/fifo", "file:///var/log/x?a=b", "binary:///bin/logger?-v=1&x", "binary://%2e%2e/%00"],
    (text) => {
      for (const field of ["stdin", "stdout"] as const) parseUri(field, text);
    },
    ["ShimError"],
  ),
  textSubject(
    "flags",
    [
      "-namespace\0ns\0-id\0pod\0-address\0/a\0-publish-binary\0/b\0start",
      "--bundle=/x\0-debug\0-id=pod\0-namespace=n\0delete",
    ],
    (text) => parseCommand(text.split("\0")),
    ["ShimError"],
  ),
  textSubject("identifiers", ["pod-1.a_b", "a".repeat(128)], (text) => checkIdentifier("id", text), ["ShimError"]),
];
