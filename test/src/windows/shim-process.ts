/** Run under Wine: calls a shim's executable as containerd for Windows does. */
import { mkdirSync, writeFileSync } from "node:fs";
import net from "node:net";
import path from "node:path";
import { containerd } from "@uvm-shim/shim/protocol";
import { TtrpcClient } from "@uvm-shim/ttrpc";
import { type CommandResult, describe, runCommand } from "../support/command.ts";
import { casePaths } from "./case-paths.ts";

const { BootstrapParams, BootstrapResult } = containerd.runtime.bootstrap.v1;

/** Of containerd; nobody serves them here. */
const grpcAddress = String.raw`\\.\pipe\containerd-containerd`;
const ttrpcAddress = String.raw`\\.\pipe\containerd-containerd.ttrpc`;

export const namespace = "k8s.io";

export function executable(flavour: "lcow" | "wcow"): string {
  return path.join(casePaths().executables, `containerd-shim-${flavour}-v2.exe`);
}

/** A task of its own bundle, with the LCOW shim. */
export class ShimProcess {
  readonly id: string;
  readonly bundle: string;

  constructor(id: string) {
    this.id = id;
    this.bundle = path.join(casePaths().directory, id);
    mkdirSync(this.bundle);
    writeFileSync(path.join(this.bundle, "config.json"), JSON.stringify({ ociVersion: "1.0.2" }));
  }

  run(action: readonly string[], input: Uint8Array = new Uint8Array()): Promise<CommandResult> {
    const flags = ["-namespace", namespace, "-address", grpcAddress, "-publish-binary", "containerd.exe"];
    return runCommand(executable("lcow"), [...flags, "-id", this.id, ...action], {
      directory: this.bundle,
      environment: {
        ...process.env,
        TTRPC_ADDRESS: ttrpcAddress,
        GRPC_ADDRESS: grpcAddress,
        NAMESPACE: namespace,
        MAX_SHIM_VERSION: "2",
      },
      input,
    });
  }

  /** As containerd 2.3 and later: parameters and answer are protobuf messages. Answers with the pipe's path. */
  async start(): Promise<string> {
    const input = BootstrapParams.encode({
      instanceId: this.id,
      namespace,
      containerdGrpcAddress: grpcAddress,
      containerdTtrpcAddress: ttrpcAddress,
    }).finish();
    const result = await this.run(["start"], input);
    if (result.status !== 0 || result.stderr !== "") throw new Error(describe(result));
    const { address, protocol, version } = BootstrapResult.decode(result.stdout);
    if (protocol !== "ttrpc" || version !== 3) throw new Error(`the answer is ${protocol} ${version}, not ttrpc 3`);
    return address;
  }

  delete(): Promise<CommandResult> {
    return this.run(["-bundle", this.bundle, "delete"]);
  }
}

export async function connect(address: string): Promise<TtrpcClient> {
  const socket = net.connect(address);
  await new Promise<void>((resolve, reject) => socket.once("connect", resolve).once("error", reject));
  return new TtrpcClient(socket);
}
