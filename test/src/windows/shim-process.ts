/** Run under Wine: calls a shim's executable as containerd does, for a sandbox or task that nobody serves yet. */
import { mkdirSync, writeFileSync } from "node:fs";
import net from "node:net";
import path from "node:path";
import type { CommandResult } from "@uvm-shim/test-support/command";
import { TtrpcClient } from "@uvm-shim/ttrpc";
import { runDelete, runShim, type ShimIdentity, startShim } from "../shim-client/shim.ts";
import { casePaths } from "./case-paths.ts";

/** Of containerd; nobody serves them here. */
const containerdSocket = String.raw`\\.\pipe\containerd-containerd`;
const eventSocket = String.raw`\\.\pipe\containerd-containerd.ttrpc`;

export const namespace = "k8s.io";

export function executable(flavour: "lcow" | "wcow"): string {
  return path.join(casePaths().executables, `containerd-shim-${flavour}-v2.exe`);
}

/** A task of its own bundle, with the LCOW shim. */
export class ShimProcess {
  readonly id: string;
  readonly bundle: string;
  readonly identity: ShimIdentity;

  constructor(id: string, options: Pick<ShimIdentity, "environment" | "runtimeOptions"> = {}) {
    this.id = id;
    this.bundle = path.join(casePaths().directory, id);
    mkdirSync(this.bundle);
    writeFileSync(path.join(this.bundle, "config.json"), JSON.stringify({ ociVersion: "1.0.2" }));
    const { bundle } = this;
    this.identity = {
      executable: executable("lcow"),
      namespace,
      id,
      bundle,
      eventSocket,
      containerdSocket,
      ...options,
    };
  }

  run(action: readonly string[]): Promise<CommandResult> {
    return runShim(this.identity, action);
  }

  /** As containerd 2.3 and later. Answers with the pipe's path. */
  async start(): Promise<string> {
    return (await startShim(this.identity)).address;
  }

  delete(): Promise<CommandResult> {
    return runDelete(this.identity);
  }
}

export async function connect(address: string): Promise<TtrpcClient> {
  const socket = net.connect(address);
  await new Promise<void>((resolve, reject) => socket.once("connect", resolve).once("error", reject));
  return new TtrpcClient(socket);
}
