/**
 * What Kubernetes' runtime interface in a containerd for Windows does in CreateContainer, by the same calls of containerd's
 * other services. That of a containerd for Linux writes the whole specification of a Windows container too, where the
 * sandbox's platform is windows, except for its command line: "not implemented".
 */
import { randomBytes } from "node:crypto";
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { CriPod } from "../../cri/pod.ts";
import type { Containerd } from "../containerd.ts";
import { createContainer, sandboxRecord } from "../containerd-grpc.ts";
import { SNAPSHOTTER, type WindowsImage } from "./cri-image.ts";

const KIND_LABEL = "io.cri-containerd.kind";
const METADATA = {
  extension: "io.cri-containerd.container.metadata",
  type: "cri/pkg/store/container/Metadata",
} as const;
const CONTAINERS = "io.containerd.grpc.v1.cri/containers";
/** Of what containerd keeps about containers. */
const VERSION = "v1";

export interface CriContainerOptions {
  readonly pod: CriPod;
  readonly name: string;
  readonly image: WindowsImage;
  readonly args: readonly string[];
  readonly tty?: boolean;
  readonly stdin?: boolean;
}

/** Answers with the container's id. The runtime interface knows of it when containerd has been started again. */
export async function recordContainer(containerd: Containerd, options: CriContainerOptions): Promise<string> {
  const { pod, name, image, args, tty = false, stdin = false } = options;
  const endpoint = { socket: containerd.address, namespace: containerd.namespace };
  const { runtime } = await sandboxRecord(endpoint, pod.id);
  const id = randomBytes(32).toString("hex");
  await containerd.mustCtr(["snapshots", "--snapshotter", SNAPSHOTTER, "prepare", id, image.chainId]);
  const { metadata } = pod.config;
  const logPath = join(pod.config.logDirectory ?? "", `${name}.log`);
  const config = { metadata: { name }, image: { image: image.name }, args, log_path: `${name}.log`, tty, stdin };
  const record = {
    ...{ ID: id, Name: [name, metadata?.name, metadata?.namespace, metadata?.uid, 0].join("_"), SandboxID: pod.id },
    ...{ Config: config, ImageRef: image.id, LogPath: logPath, StopSignal: "", ProcessLabel: "" },
  };
  await createContainer(endpoint, {
    ...{ id, image: image.name, runtime, snapshotter: SNAPSHOTTER, snapshotKey: id, sandbox: pod.id },
    labels: { [KIND_LABEL]: "container" },
    spec: specification(options),
    extensions: {
      [METADATA.extension]: {
        typeUrl: `github.com/containerd/${METADATA.type}`,
        value: Buffer.from(JSON.stringify({ Version: VERSION, Metadata: record })),
      },
    },
  });
  const folder = join(containerd.root, CONTAINERS, id);
  mkdirSync(folder, { recursive: true });
  const status = { Version: VERSION, CreatedAt: Date.now() * 1_000_000 };
  writeFileSync(join(folder, "status"), JSON.stringify(status), { mode: 0o600 });
  return id;
}

/**
 * As a containerd for Windows writes it: of Hyper-V it says nothing, which is the runtime's to know. It would name the
 * pod's HCN namespace by its GUID too, where this pod has a namespace of Linux.
 */
function specification({ pod, name, image, args, tty = false }: CriContainerOptions): object {
  const { metadata } = pod.config;
  const annotations = {
    "microsoft.com/hostprocess-container": "false",
    "io.kubernetes.cri.container-type": "container",
    "io.kubernetes.cri.sandbox-id": pod.id,
    "io.kubernetes.cri.sandbox-namespace": metadata?.namespace,
    "io.kubernetes.cri.sandbox-uid": metadata?.uid,
    "io.kubernetes.cri.sandbox-name": metadata?.name,
    "io.kubernetes.cri.container-name": name,
    "io.kubernetes.cri.image-name": image.name,
  };
  return {
    ociVersion: "1.2.1",
    process: {
      ...(tty && { terminal: true }),
      user: { uid: 0, gid: 0, additionalGids: [0], username: "ContainerUser" },
      ...{ args, env: ["FROM=image"], cwd: "C:\\" },
    },
    hostname: pod.config.hostname,
    annotations,
    windows: { layerFolders: null },
  };
}
