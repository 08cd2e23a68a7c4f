/** What asks a sandboxer for pods: containerd's calls, and those of `start` and `delete`, without starting a program. */
import { mkdirSync, rmSync, writeFileSync } from "node:fs";
import { connect } from "node:net";
import { join } from "node:path";
import { Client, credentials, Metadata } from "@grpc/grpc-js";
import { containerd, uvmshim } from "@uvm-shim/shim/protocol";
import { TtrpcClient } from "@uvm-shim/ttrpc";
import { type Mount, readOnlyRoot } from "./pod.ts";
import { Sandbox, Task } from "./shim.ts";
import { containerSpec, sandboxSpec } from "./spec.ts";

const { Controller } = containerd.services.sandbox.v1;
const { Sandboxer } = uvmshim.sandboxer.v1;
type Methods = typeof Controller.methods;
type RequestOf<M extends keyof Methods> = Parameters<Methods[M]["request"]["encode"]>[0];
type ResponseOf<M extends keyof Methods> = ReturnType<Methods[M]["response"]["decode"]>;

const NAMESPACE = "many";
const CALL_MS = 60_000;
const STOP_SECONDS = 10;
const EXIT_STATUS = 5;

export interface SandboxerClientOptions {
  /** Where the sandboxer serves. */
  readonly socket: string;
  /** Where it sends its events. */
  readonly eventSocket: string;
  /** For the bundles that containerd makes, and the sockets of pods that are handed over. */
  readonly directory: string;
  /** The root file system of containers. */
  readonly rootfs: string;
}

export class SandboxerClient {
  /** Of all its pods. */
  readonly namespace = NAMESPACE;
  readonly #options: SandboxerClientOptions;
  readonly #client: Client;
  readonly #rootfs: readonly Mount[];

  constructor(options: SandboxerClientOptions) {
    this.#options = options;
    this.#client = new Client(`unix://${options.socket}`, credentials.createInsecure());
    this.#rootfs = readOnlyRoot(options.rootfs);
  }

  close(): void {
    this.#client.close();
  }

  /** A sandbox of containerd's controller API; answers with a client of its tasks, which it closes when it is removed. */
  async createPod(sandboxId: string): Promise<TtrpcClient> {
    await this.#call("Create", { sandboxId, sandbox: { sandboxId } });
    const { address } = await this.#call("Start", { sandboxId });
    return await dial(address.replace("ttrpc+unix://", ""));
  }

  async removePod(sandboxId: string): Promise<void> {
    await this.#call("Stop", { sandboxId, timeoutSecs: STOP_SECONDS });
    await this.#call("Shutdown", { sandboxId });
  }

  /** From its creation until it is gone, with a container that runs to its end if wanted. */
  async ownPod(sandboxId: string, { hasContainer }: { readonly hasContainer: boolean }): Promise<void> {
    const pod = await this.createPod(sandboxId);
    try {
      if (hasContainer) await this.runContainer(pod, `${sandboxId}-c`);
      const { state } = await this.#call("Status", { sandboxId });
      if (state !== "SANDBOX_READY") throw new Error(`${sandboxId} is ${state}`);
    } finally {
      pod.close();
      await this.removePod(sandboxId);
    }
  }

  /** A pod as `start` hands it over, and `delete` gives it up. */
  async handedPod(id: string): Promise<void> {
    const { socket: controller, eventSocket, directory } = this.#options;
    const bundle = join(directory, id);
    mkdirSync(bundle);
    writeFileSync(join(bundle, "config.json"), JSON.stringify(sandboxSpec()));
    const socket = join(directory, `${id}.sock`);
    const control = await dial(`${controller}.ttrpc`);
    try {
      const host = process.env.UVM_SHIM_HOST ?? "";
      const request = { namespace: NAMESPACE, id, bundle, socket, flavour: "lcow", host, ttrpcAddress: eventSocket };
      await control.call(Sandboxer, "Host", request);
      const pod = await dial(socket);
      await pod.call(Sandbox, "CreateSandbox", { sandboxId: id, bundlePath: bundle });
      await pod.call(Sandbox, "StartSandbox", { sandboxId: id });
      await pod.call(Sandbox, "StopSandbox", { sandboxId: id, timeoutSecs: STOP_SECONDS });
      await pod.call(Sandbox, "ShutdownSandbox", { sandboxId: id });
      pod.close();
    } finally {
      await control.call(Sandboxer, "Release", { namespace: NAMESPACE, id });
      control.close();
      rmSync(bundle, { recursive: true });
    }
  }

  /** In a pod, to its end. */
  async runContainer(pod: TtrpcClient, id: string): Promise<void> {
    const bundle = join(this.#options.directory, id);
    mkdirSync(join(bundle, "rootfs"), { recursive: true });
    const args = ["sh", "-c", `exit ${EXIT_STATUS}`];
    const specification = containerSpec({ args, hostname: id, cgroup: `/${NAMESPACE}/${id}` });
    writeFileSync(join(bundle, "config.json"), JSON.stringify(specification));
    await pod.call(Task, "Create", { id, bundle, rootfs: this.#rootfs });
    await pod.call(Task, "Start", { id });
    const { exitStatus } = await pod.call(Task, "Wait", { id });
    if (exitStatus !== EXIT_STATUS) throw new Error(`${id} ended with ${exitStatus}`);
    await pod.call(Task, "Delete", { id });
    // Its root file system is mounted there as long as it is not deleted.
    rmSync(bundle, { recursive: true });
  }

  #call<M extends keyof Methods>(method: M, request: RequestOf<M>): Promise<ResponseOf<M>> {
    const { request: requestType, response: responseType } = Controller.methods[method];
    const metadata = new Metadata({ waitForReady: true });
    metadata.set("containerd-namespace", NAMESPACE);
    return new Promise((resolve, reject) => {
      this.#client.makeUnaryRequest(
        `/${Controller.name}/${method}`,
        (message: RequestOf<M>) => Buffer.from(requestType.encode(message as never).finish()),
        (bytes) => responseType.decode(bytes) as ResponseOf<M>,
        request,
        metadata,
        { deadline: Date.now() + CALL_MS },
        (error, response) => {
          if (error !== null) reject(error);
          else resolve(response as ResponseOf<M>);
        },
      );
    });
  }
}

async function dial(path: string): Promise<TtrpcClient> {
  const socket = connect(path);
  await new Promise<void>((resolve, reject) => {
    socket.once("connect", resolve);
    socket.once("error", reject);
  });
  return new TtrpcClient(socket);
}
