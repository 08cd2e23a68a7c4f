import type { RootfsMount } from "@uvm-shim/container-common";
import type { HostPaths } from "@uvm-shim/lifecycle";
import type { PathGrammar } from "@uvm-shim/sandbox-common";
import type { ContainerRuntimeOptions } from "../specification/runtime-options.ts";

/** The part of a request that decides what a container needs. */
export interface WindowsPlanRequest {
  /** The parsed config.json, unchecked. */
  readonly spec: unknown;
  readonly rootfs: readonly RootfsMount[];
}

/** Facts about the pod and its VM that decide how a container is planned. */
export interface WindowsPlanOptions {
  readonly id: string;
  /** The id of the pod's sandbox; the container's own for a single container. */
  readonly podId: string;
  /** "workload" joins a pod, "standalone" is the only container of its VM. */
  readonly role: "workload" | "standalone";
  /** Annotations of the pod's sandbox, with those that the sandbox's runtime options set. */
  readonly podAnnotations: { readonly [key: string]: string };
  readonly vm: WindowsVmFacts;
  /** Of the host. */
  readonly processors: number;
  /** The runtime options of the container's own request; none if it has none. */
  readonly runtimeOptions?: ContainerRuntimeOptions;
  /** The build of the host; absent where the host has every feature. */
  readonly build?: number;
  /** Path rules of the host: those of Linux on its Linux build. */
  readonly paths: HostPaths;
  /** The same, as layers are read. */
  readonly pathGrammar: PathGrammar;
  readonly files: WindowsPlanFiles;
  /** Where device-util.exe is: beside the shim. */
  readonly deviceUtilPath: string;
  readonly warn: (sentence: string) => void;
}

/** Facts about the VM that the container is in. */
export interface WindowsVmFacts {
  readonly processors: number;
  /** Whether its guest has a security policy. */
  readonly isConfidential: boolean;
  /** Where processes of its containers leave dumps, unless a container says otherwise. */
  readonly processDumpLocation?: string | undefined;
  readonly supportsHostProcesses: boolean;
  readonly noWritableFileShares: boolean;
}

/** Lookups that run before anything is acquired. */
export interface WindowsPlanFiles {
  /** The kind of file; undefined if it does not exist. Links are followed. */
  kind(path: string): Promise<"file" | "directory" | "block" | "other" | undefined>;
  /** The text of a small file; rejects if it cannot be read. */
  readText(path: string): Promise<string>;
}
